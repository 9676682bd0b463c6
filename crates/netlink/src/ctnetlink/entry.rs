//! An entry of the connection table, as the kernel answers. Pure, and safe on any bytes.

use crate::Malformed;
use crate::Message;

use super::uapi::cta;

/// An entry of the table; what the kernel does not report is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// `nf_conn.status`, bits of `enum ip_conntrack_status`.
    pub status: Option<u32>,
    /// `nf_conn.mark`; newer kernels leave out a mark that is zero.
    pub mark: Option<u32>,
    /// Seconds until it expires.
    pub timeout_s: Option<u32>,
    /// Distinguishes it from other entries of the same tuples.
    pub id: Option<u32>,
}

impl Entry {
    pub(super) fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        let (_nfgenmsg, attrs) = message.split::<4>()?;
        let mut entry = Self::default();
        for attr in attrs {
            let attr = attr?;
            let field = match attr.kind {
                cta::STATUS => &mut entry.status,
                cta::MARK => &mut entry.mark,
                cta::TIMEOUT => &mut entry.timeout_s,
                cta::ID => &mut entry.id,
                _ => continue,
            };
            *field = Some(attr.u32_be()?);
        }
        Ok(entry)
    }
}
