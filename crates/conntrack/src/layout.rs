//! Where the kernel keeps what the programs read: the offsets document, checked and arranged as one
//! window of `nf_conn` that is copied at once. Pure.

use shared::offsets::Document;
use shared::offsets::Field;
use shared::record::wire::known;

/// `WINDOW_MAX` of `bpf/include/nf_conn.h`, compared in `bpf::abi_check`.
pub const WINDOW_MAX_BYTES: u32 = 176;

/// Offsets as the programs take them. `at_*` count from the start of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// `sk_buff._nfct`.
    pub skb_nfct: u32,
    /// First byte of the window in `nf_conn`, a multiple of 8.
    pub window_start: u32,
    /// Length of the window.
    pub window_bytes: u32,
    /// Tuple of the original direction.
    pub at_orig: u32,
    /// Tuple of the reply.
    pub at_reply: u32,
    /// `status`.
    pub at_status: u32,
    /// `ct_net`; 0 unless the namespace is known.
    pub at_ct_net: u32,
    /// `mark`; 0 unless known.
    pub at_mark: u32,
    /// `zone`; 0 unless known.
    pub at_zone: u32,
    /// `timeout`, if it is known.
    pub at_timeout: Option<u32>,
    /// `net.ns.inum`; 0 unless the namespace is known.
    pub net_inum: u32,
    /// `status` from the start of `nf_conn`.
    pub ct_status: u32,
    /// The optional fields that this kernel has, bits of [`known`].
    pub known: u32,
}

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A required field.
    #[error("the offsets document has no proven {0}")]
    Missing(Field),
    /// No compiler would put the field there.
    #[error("the offsets document puts {field} at {offset}, which is not a multiple of {align}")]
    Misaligned {
        /// The field.
        field: Field,
        /// Where the document puts it.
        offset: u32,
        /// What it should be a multiple of.
        align: u32,
    },
    /// The fields are too far apart to be copied at once.
    #[error("the fields of nf_conn lie {0} bytes apart, more than {WINDOW_MAX_BYTES} can be read")]
    Scattered(u32),
}

impl Layout {
    /// Arranges the offsets of a document for the running kernel.
    ///
    /// # Errors
    /// A [`LayoutError`]. The mark, the zone and the namespace's inode number may be missing; the
    /// records then lack them. Without the timeout, a connection that replaces an expired one of
    /// the same tuples may be taken for it.
    pub fn of(document: &Document) -> Result<Self, LayoutError> {
        let skb_nfct = required(document, Field::SkBuffNfct)?;
        let orig = required(document, Field::NfConnTupleOrig)?;
        let reply = required(document, Field::NfConnTupleReply)?;
        let status = required(document, Field::NfConnStatus)?;
        let mark = optional(document, Field::NfConnMark)?;
        let zone = optional(document, Field::NfConnZone)?;
        let timeout = optional(document, Field::NfConnTimeout)?;
        // One is of no use without the other.
        let (ct_net, net_inum) = optional(document, Field::NfConnCtNet)?
            .zip(optional(document, Field::NetNsInum)?)
            .unzip();

        let in_window = [
            (Field::NfConnTupleOrig, Some(orig)),
            (Field::NfConnTupleReply, Some(reply)),
            (Field::NfConnStatus, Some(status)),
            (Field::NfConnMark, mark),
            (Field::NfConnZone, zone),
            (Field::NfConnTimeout, timeout),
            (Field::NfConnCtNet, ct_net),
        ];
        let (mut first, mut end) = (orig, 0);
        for (field, at) in in_window {
            if let Some(at) = at {
                first = first.min(at);
                end = end.max(at.saturating_add(field.size_bytes()));
            }
        }
        // Rounded down, so that every field keeps its alignment in the copy.
        let window_start = first / 8 * 8;
        let window_bytes = end - window_start;
        if window_bytes > WINDOW_MAX_BYTES {
            return Err(LayoutError::Scattered(window_bytes));
        }
        let within = |at: Option<u32>| at.map_or(0, |at| at - window_start);
        let bit = |at: Option<u32>, bit| if at.is_some() { bit } else { 0 };
        Ok(Self {
            skb_nfct,
            window_start,
            window_bytes,
            at_orig: orig - window_start,
            at_reply: reply - window_start,
            at_status: status - window_start,
            at_ct_net: within(ct_net),
            at_mark: within(mark),
            at_zone: within(zone),
            at_timeout: timeout.map(|at| at - window_start),
            net_inum: net_inum.unwrap_or(0),
            ct_status: status,
            known: bit(mark, known::MARK) | bit(zone, known::ZONE) | bit(ct_net, known::NETNS),
        })
    }
}

fn required(document: &Document, field: Field) -> Result<u32, LayoutError> {
    optional(document, field)?.ok_or(LayoutError::Missing(field))
}

fn optional(document: &Document, field: Field) -> Result<Option<u32>, LayoutError> {
    let Some(offset) = document.proven(field) else {
        return Ok(None);
    };
    let align = match field {
        Field::NfConnZone => 2,
        Field::NfConnTupleOrig
        | Field::NfConnTupleReply
        | Field::NfConnMark
        | Field::NfConnTimeout
        | Field::NetNsInum => 4,
        _ => 8,
    };
    if offset % align != 0 {
        return Err(LayoutError::Misaligned {
            field,
            offset,
            align,
        });
    }
    Ok(Some(offset))
}

#[cfg(test)]
mod tests {
    use shared::kernel::KernelIdentity;
    use shared::offsets::FieldResult;
    use shared::offsets::Method;
    use shared::offsets::Status;

    use super::*;

    /// A document in which these fields are proven, and nothing else is.
    fn document(offsets: &[(Field, u32)]) -> Document {
        Document {
            schema: Document::SCHEMA,
            kernel: KernelIdentity {
                release: String::new(),
                version: String::new(),
                machine: String::new(),
                build_id: None,
            },
            elapsed_us: 0,
            fields: offsets
                .iter()
                .map(|&(field, offset)| FieldResult {
                    name: field.path().into(),
                    status: Status::Proven,
                    offset: Some(offset),
                    size: field.size_bytes(),
                    method: Some(Method::Guess),
                    evidence_bits: Some(60),
                    candidates: vec![offset],
                    btf_offset: None,
                    reason: None,
                })
                .collect(),
        }
    }

    /// 6.12-rt, where a lock before the zone is longer.
    const RT: [(Field, u32); 9] = [
        (Field::SkBuffNfct, 104),
        (Field::NfConnTupleOrig, 64),
        (Field::NfConnTupleReply, 120),
        (Field::NfConnStatus, 160),
        (Field::NfConnCtNet, 168),
        (Field::NfConnMark, 200),
        (Field::NfConnZone, 44),
        (Field::NetNsInum, 232),
        (Field::NfConnTimeout, 40),
    ];

    #[test]
    fn the_window_covers_every_field_and_keeps_alignment() {
        let layout = Layout::of(&document(&RT)).unwrap();
        assert_eq!(
            layout,
            Layout {
                skb_nfct: 104,
                window_start: 40,
                window_bytes: 164,
                at_orig: 24,
                at_reply: 80,
                at_status: 120,
                at_ct_net: 128,
                at_mark: 160,
                at_zone: 4,
                at_timeout: Some(0),
                net_inum: 232,
                ct_status: 160,
                known: known::MARK | known::ZONE | known::NETNS,
            }
        );
    }

    #[test]
    fn what_is_optional_may_be_missing_and_what_is_not_may_not() {
        for missing in 0..RT.len() {
            let mut rest = RT.to_vec();
            let (field, _) = rest.remove(missing);
            let known = Layout::of(&document(&rest)).map(|layout| layout.known);
            let expected = match field {
                Field::NfConnTimeout => Ok(known::MARK | known::ZONE | known::NETNS),
                Field::NfConnMark => Ok(known::ZONE | known::NETNS),
                Field::NfConnZone => Ok(known::MARK | known::NETNS),
                Field::NfConnCtNet | Field::NetNsInum => Ok(known::MARK | known::ZONE),
                field => Err(LayoutError::Missing(field)),
            };
            assert_eq!(known, expected, "without {field}");
        }
    }

    #[test]
    fn impossible_offsets_are_refused() {
        let changed = |at: usize, offset: u32| {
            let mut offsets = RT;
            offsets[at].1 = offset;
            Layout::of(&document(&offsets))
        };
        assert!(matches!(
            changed(3, 161),
            Err(LayoutError::Misaligned { .. })
        ));
        assert_eq!(changed(3, 400), Err(LayoutError::Scattered(368)));
        assert!(matches!(
            changed(3, u32::MAX - 7),
            Err(LayoutError::Scattered(_))
        ));
    }
}
