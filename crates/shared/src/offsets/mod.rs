//! The offsets document: what `guesser` measured, for which kernel, and how sure it is.
//! [`field`] names what can be measured, [`field_set`] what can be requested, [`document`] holds the result,
//! and [`codec`] turns it into bytes and back.

pub mod codec;
pub mod document;
pub mod field;
pub mod field_set;

pub use codec::DecodeError;
pub use codec::MAX_DOCUMENT_BYTES;
pub use document::Document;
pub use document::FieldResult;
pub use document::Method;
pub use document::Status;
pub use field::Field;
pub use field_set::FieldSet;
