//! What an answer says of an entry. Pure, and safe on any bytes.

use crate::Malformed;
use crate::Message;

use super::cta;

/// An entry of the table; what the kernel does not say is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// `nf_conn.status`, bits of `enum ip_conntrack_status`.
    pub status: Option<u32>,
    /// `nf_conn.mark`; newer kernels say nothing of a mark that is zero.
    pub mark: Option<u32>,
    /// How long it will live.
    pub timeout_s: Option<u32>,
    /// What tells it from others of the same tuples.
    pub id: Option<u32>,
}

impl Entry {
    pub(super) fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        let (_nfgenmsg, attrs) = message.split::<4>()?;
        let mut entry = Self::default();
        for attr in attrs {
            let attr = attr?;
            let place = match attr.kind {
                cta::STATUS => &mut entry.status,
                cta::MARK => &mut entry.mark,
                cta::TIMEOUT => &mut entry.timeout_s,
                cta::ID => &mut entry.id,
                _ => continue,
            };
            *place = Some(attr.u32_be()?);
        }
        Ok(entry)
    }
}
