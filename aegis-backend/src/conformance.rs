//! The conformance suite that every backend instantiates.
