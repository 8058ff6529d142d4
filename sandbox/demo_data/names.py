"""Made-up names for offices and patients, the awkward ones included: they are what breaks imports, logs and filters."""

# Words that name a clinic here, a street there and a person elsewhere.
PLACES = (
    "Summit", "Harbor", "Lakeside", "Park", "Wells", "Maple", "Church", "Brook", "Hill", "Lane", "Street", "Rivers",
    "Forest", "Winter", "Banks", "Marsh", "Field", "Stone", "Glen", "Bridges", "Meadows", "Ford", "Woods",
)  # fmt: skip
KINDS = ("Chiropractic", "Spine & Joint", "Family Chiropractic", "Back Care", "Wellness Center", "Spinal Health")
# Names that a clinic might really have and that a naive reader, shell or sheet would trip over.
AWKWARD_OFFICES = (
    "O'Brien Family Chiropractic",
    "Nuñez Spine & Joint",
    "Müller, Becker and Sons, D.C.",
    'The "Back" Room',
    "Zoë Wells Chiropractic",
    "李 Spinal Health",
    "=Align= Chiropractic",
)

FIRST = (
    "Ada", "Amara", "Anton", "Beatrice", "Boris", "Carmen", "Chloe", "Dana", "Darius", "Elena", "Emil", "Farah",
    "Felix", "Gita", "Hanna", "Hugo", "Ines", "Ivan", "Jamal", "Jana", "Kofi", "Lara", "Leo", "Mira", "Nadia", "Noah",
    "Olga", "Omar", "Petra", "Quentin", "Rosa", "Ruben", "Sana", "Stefan", "Tara", "Umar", "Vera", "Viktor", "Wanda",
    "Xenia", "Yara", "Yusuf", "Zelda", "Zoran",
)  # fmt: skip
LAST = (
    "Abbott", "Ahmadi", "Barros", "Bergman", "Castell", "Chaudry", "Delgado", "Dubrow", "Eklund", "Farrow", "Fenwick",
    "Galanis", "Grimaldi", "Haddad", "Hollis", "Ibarra", "Jansson", "Kaplan", "Kowalik", "Lindqvist", "Lombardi",
    "Marchetti", "Mbeki", "Novotny", "Okafor", "Pappas", "Quiroga", "Rasmussen", "Sandoval", "Takeda", "Ulrich",
    "Vasquez", "Whitlock", "Yamada", "Zielinski",
)  # fmt: skip

# (first name, last name): each of these has broken a real import somewhere.
AWKWARD = (
    ("Zoë", "Nuñez"),
    ("Zoe\u0308", "Nun\u0303ez"),  # the same letters, decomposed
    ("Jürgen", "Müller"),
    ("Łukasz", "Żółć"),
    ("Ólafur", "Þórðarson"),
    ("İpek", "Yıldız"),  # dotted and dotless i: lower() changes their length
    ("Straße", "Weiß"),
    ("Siobhán", "O'Brien"),
    ("D’Arcy", "O’Neill"),  # the typographic apostrophe
    ("Anne-Marie", "Smith-Jones"),
    ("Jean Luc", "de la Cruz"),
    ("Bo", "Li"),
    ("Wu", "Ng"),
    ("Y", "O"),
    ("小龍", "李"),
    ("さくら", "山田"),
    ("민준", "김"),
    ("فاطمة", "الزهراء"),
    ("שרה", "לוי"),
    ("Δήμητρα", "Παππά"),
    ("Ольга", "Ильина"),
    ("Robert", "Smith, Jr."),
    ('William "Bill"', "Tate"),
    ("Al, the second", 'Quote"Mark'),
    ("=1+1", "Equals"),
    ("+Ada", "Plus"),
    ("-Bea", "Minus"),
    ("@Cato", "Sign"),
    ('=HYPERLINK("x")', "=2*3"),
    ("Null", "None"),
    ("Drop", "Table'; --"),
    ("Percent%20", "A&B=C"),
    ("Semi;colon", "Tab\tbed"),
    ("  Spaces ", "Around  It"),
    ("Maximiliana-Theodora-Wilhelmine", "Featherstonehaugh-Cholmondeley-Marjoribanks"),
)
