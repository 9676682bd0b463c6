//! The kernel's answer to a request that it did or did not carry out: `NLMSG_ERROR`, with the
//! extended acknowledgement that newer kernels add, and `NLMSG_DONE`, which ends a dump. Pure.

use std::fmt;

use nix::errno::Errno;

use crate::Attrs;
use crate::Malformed;
use crate::Message;
use crate::message::HEADER_BYTES;

/// The error quotes its request without the payload.
const NLM_F_CAPPED: u16 = libc::NLM_F_CAPPED as u16;
/// Attributes follow the quoted request.
const NLM_F_ACK_TLVS: u16 = libc::NLM_F_ACK_TLVS as u16;
/// The reason in words.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Offset of the refused attribute in the request.
const NLMSGERR_ATTR_OFFS: u16 = 2;

/// Why the kernel refused a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's own words, if it gave any (4.12 and later, and not for every error).
    pub text: Option<String>,
    /// Offset of the attribute at fault, counted from the request's header.
    pub offset_bytes: Option<u32>,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            text: None,
            offset_bytes: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.errno)?;
        if let Some(text) = &self.text {
            write!(f, " ({text})")?;
        }
        if let Some(offset) = self.offset_bytes {
            write!(f, " at byte {offset} of the request")?;
        }
        Ok(())
    }
}

/// Reads an `NLMSG_ERROR` or `NLMSG_DONE` message: `Ok(None)` if it acknowledges, else the refusal.
pub(crate) fn read(message: &Message<'_>) -> Result<Option<Refusal>, Malformed> {
    let ends_dump = i32::from(message.kind) == libc::NLMSG_DONE;
    let Some((&status, rest)) = message.payload.split_first_chunk::<4>() else {
        // A few families end a dump with an empty payload.
        let cut = Malformed("an error is cut short");
        return if ends_dump { Ok(None) } else { Err(cut) };
    };
    let status = i32::from_ne_bytes(status);
    if status == 0 || ends_dump && status > 0 {
        return Ok(None);
    }
    let errno = status.checked_neg().map(Errno::from_raw);
    let mut refusal = Refusal::from(errno.ok_or(Malformed("an error has no number"))?);
    let attrs = match message.flags & NLM_F_ACK_TLVS {
        0 => &[],
        _ if ends_dump => rest,
        _ => behind_quoted_request(rest, message.flags & NLM_F_CAPPED != 0)?,
    };
    for attr in Attrs::new(attrs) {
        let attr = attr?;
        match attr.kind {
            NLMSGERR_ATTR_MSG => refusal.text = Some(attr.text()),
            NLMSGERR_ATTR_OFFS => refusal.offset_bytes = Some(attr.u32()?),
            _ => {}
        }
    }
    Ok(Some(refusal))
}

fn behind_quoted_request(quoted: &[u8], capped: bool) -> Result<&[u8], Malformed> {
    let &len = quoted
        .first_chunk::<4>()
        .ok_or(Malformed("an error quotes no request"))?;
    let len = if capped {
        HEADER_BYTES
    } else {
        u32::from_ne_bytes(len) as usize
    };
    len.checked_next_multiple_of(4)
        .and_then(|len| quoted.get(len..))
        .ok_or(Malformed("an error quotes more than it holds"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

    use super::*;
    use crate::Writer;

    fn error(status: i32, flags: u16, quoted_payload: &[u8], attrs: &Writer) -> (u16, Vec<u8>) {
        let mut payload = status.to_ne_bytes().to_vec();
        payload.extend(((HEADER_BYTES + quoted_payload.len()) as u32).to_ne_bytes());
        payload.extend([0; HEADER_BYTES - 4]);
        if flags & NLM_F_CAPPED == 0 {
            payload.extend(quoted_payload);
        }
        payload.extend(&attrs.bytes);
        (flags, payload)
    }

    fn read_back((flags, payload): &(u16, Vec<u8>)) -> Result<Option<Refusal>, Malformed> {
        read(&Message {
            kind: 2,
            flags: *flags,
            seq: 0,
            payload,
        })
    }

    #[test]
    fn the_words_are_found_with_and_without_the_quoted_request() {
        let mut attrs = Writer::default();
        attrs
            .put_str(NLMSGERR_ATTR_MSG, "Not this way")
            .put_u32(NLMSGERR_ATTR_OFFS, 20);
        for flags in [NLM_F_ACK_TLVS, NLM_F_ACK_TLVS | NLM_F_CAPPED] {
            let refusal = read_back(&error(-22, flags, &[0xff; 24], &attrs))
                .unwrap()
                .unwrap();
            assert_eq!(refusal.errno, Errno::EINVAL);
            assert_eq!(
                refusal.to_string(),
                "EINVAL: Invalid argument (Not this way) at byte 20 of the request"
            );
        }
        let silent = read_back(&error(-1, 0, &[0xff; 24], &Writer::default()))
            .unwrap()
            .unwrap();
        assert_eq!(silent, Refusal::from(Errno::EPERM));
    }

    #[test]
    fn zero_is_an_acknowledgement() {
        assert_eq!(
            read_back(&error(0, NLM_F_CAPPED, &[], &Writer::default())),
            Ok(None)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            kind in 2_u16..4, flags in any::<u16>(), payload in prop::collection::vec(any::<u8>(), 0..128),
        ) {
            let message = Message { kind, flags, seq: 0, payload: &payload };
            let _ = read(&message);
        }
    }
}
