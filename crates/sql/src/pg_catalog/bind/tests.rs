//! Names, types and their errors.
