"""Words that tell a person's name from a clinic's vocabulary. Pure data; no list of names is ever complete."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What follows "patient" in the language of a clinic and its software, and is nobody's name.
AFTER_PATIENT = _words(
    """
    a about above access account accounts activation activations activity advocate age and api app appointment
    appointments area are at balance balances base below billing bucket calls care census centered centric charge
    charges charting charts check choice clinic communication communications count counts data database
    demographics desk documents driven duplicates edition education engagement entry experience export exports
    facing families fee fees feedback field fields file files finance financing first flow focus focused folder for
    form forms from group groups growth had handouts has health history id ids import imports in index information
    intake is journey kiosk labels ledger letters level license licenses limit list lists load loyalty management
    marketing merge merges messages messaging migration mix module month months name names network notes notice
    notification notifications number numbers of on onboarding only or outcomes outreach package packages payment
    payments per plan plans plus policy population portal portals price prices pricing privacy process profile
    profiles program programs rate record records recall referral referrals registration relations reminder
    reminders report reporting reports retention review reviews roster safety satisfaction scheduler scheduling
    search seat seats service services side software statement statements status success support survey surveys
    sync system table tablet tablets template templates texting that this through tier tiers time to tool tools
    total totals tracking training transfer transfers type types upload uploads usage visit visits volume volumes
    waiting was website wellness were who with workflow
    """
)

# What a clinic calls itself, beside names of people and places.
OF_A_CLINIC = _words(
    """
    adjustment advanced align alignment and associates back balance body care center centre chiro chiropractic
    chiropractor clinic clinics co complete core dc doctor doctors dr family first group health healing holistic
    injury institute integrated joint life llc medical mobility motion natural neck office offices pain partners pc
    performance physical plus posture practice pllc professional rehab rehabilitation relief solutions spa spinal
    spine sport sports studio team the therapy total tx vital vitality wellness whole
    """
)

# First names common in the United States, and some of other origins.
FIRST_NAMES = _words(
    """
    aaron abigail adam ahmed alan albert alejandro alex alexander alice alicia allison amanda amber amy ana andrea
    andrew angela ann anna anne anthony antonio arthur ashley austin barbara benjamin betty beverly bob bonnie
    bradley brandon brenda brian bruce bryan carl carlos carol caroline carolyn catherine charles charlotte cheryl
    chloe chris christian christina christine christopher cindy claire connie courtney craig cynthia daniel
    danielle david dawn deborah debra denise dennis diana diane dmitri donald donna doris dorothy douglas dylan
    edward eileen elena elizabeth emily emma eric erica erin ethan eugene evelyn fatima fernando frances francisco
    frank fred gabriel gary george gerald gloria gregory hannah harold harry heather hector helen henry howard hugo
    ian isaac isabella ivan jack jacob jacqueline james jamie jane janet janice jason javier jean jeff jeffrey
    jennifer jeremy jerry jesse jessica jim joan joe joel john johnny jonathan jordan jorge jose joseph joshua
    joyce juan judith judy julia julie justin karen katherine kathleen kathryn kathy katie keith kelly kenneth
    kevin kim kimberly kyle larry laura lauren lawrence leo linda lisa logan lori louis luis luke madison manuel
    margaret maria marie marilyn mark martha martin mary mateo matthew megan melissa mercedes michael michelle
    miguel mike mohammed nancy natalie nathan nicholas nicole noah nora norma olga olivia omar oscar pamela
    patricia patrick paul paula pedro peggy peter philip phyllis rachel ralph ramon randy raymond rebecca ricardo
    richard rita robert roberto robin rodrigo roger ronald rosa rose roy russell ruth ryan samantha samuel sandra
    sara sarah scott sean sergio sharon shirley sofia sophia stella stephanie stephen steven stuart susan suzanne
    tammy tara teresa terry theodore theresa thomas tiffany tim timothy tina todd tom tony tracy tyler valerie
    vanessa vera veronica victor victoria vincent virginia walter wanda wayne wendy william yolanda yusuf zachary
    zoe
    """
)

# Mailboxes of a task, not of a person; a local part with one of these in it is preferred.
ROLES = (
    "account", "accounting", "admin", "ap", "ar", "billing", "bookkeep", "book-keep", "chiro", "clinic", "contact",
    "desk", "finance", "front", "hello", "help", "info", "invoice", "mail", "manager", "office", "owner", "payable",
    "payment", "practice", "receipt", "reception", "service", "spine", "staff", "statement", "support", "team",
    "wellness",
)  # fmt: skip

FREE_MAIL = _words(
    """
    aol.com att.net bellsouth.net comcast.net cox.net earthlink.net fastmail.com gmail.com gmx.com gmx.net
    googlemail.com hotmail.com hushmail.com icloud.com live.com mac.com mail.com me.com msn.com outlook.com pm.me
    proton.me protonmail.com qq.com rocketmail.com sbcglobal.net tutanota.com verizon.net web.de yahoo.com
    yandex.com yandex.ru ymail.com zoho.com
    """
)
