//! Admission: which test decides, and the answer with its derivation.
