"""What may leave, judged by people and by structure: classes of data, detectors as advice, approval, evidence."""
