//! The kernel's answer to a request that it did or did not carry out: `NLMSG_ERROR`, with the
//! extended acknowledgement that newer kernels add. Pure.

use std::fmt;

use nix::errno::Errno;

use crate::Attrs;
use crate::Malformed;
use crate::Message;
use crate::message::HEADER_BYTES;

/// `NLM_F_CAPPED`: the request is quoted without its payload.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow the quoted request.
const ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`: the reason in words.
const ATTR_MSG: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`: where in the request the refused attribute lies.
const ATTR_OFFS: u16 = 2;

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

/// Reads an `NLMSG_ERROR` message: `Ok(None)` if it acknowledges, else the refusal.
pub(crate) fn read(message: &Message<'_>) -> Result<Option<Refusal>, Malformed> {
    let (&status, quoted) = message
        .payload
        .split_first_chunk::<4>()
        .ok_or(Malformed("an error is cut short"))?;
    let status = i32::from_ne_bytes(status);
    if status == 0 {
        return Ok(None);
    }
    let attrs = if message.flags & ACK_TLVS == 0 {
        Attrs::new(&[])
    } else {
        attrs_behind_quoted_request(quoted, message.flags & CAPPED != 0)?
    };
    explain(status, attrs).map(Some)
}

/// Reads the status of an `NLMSG_DONE` message, which ends a dump: `None` if all is well.
///
/// Kernels have always put an `int` there, except that a few families end with an empty payload.
pub(crate) fn read_done(message: &Message<'_>) -> Result<Option<Refusal>, Malformed> {
    let Some((&status, rest)) = message.payload.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let status = i32::from_ne_bytes(status);
    if status >= 0 {
        return Ok(None);
    }
    let attrs = if message.flags & ACK_TLVS == 0 {
        Attrs::new(&[])
    } else {
        Attrs::new(rest)
    };
    explain(status, attrs).map(Some)
}

fn attrs_behind_quoted_request(quoted: &[u8], capped: bool) -> Result<Attrs<'_>, Malformed> {
    let &len = quoted
        .first_chunk::<4>()
        .ok_or(Malformed("an error quotes no request"))?;
    let len = if capped {
        HEADER_BYTES
    } else {
        u32::from_ne_bytes(len) as usize
    };
    let attrs = len
        .checked_next_multiple_of(4)
        .and_then(|len| quoted.get(len..))
        .ok_or(Malformed("an error quotes more than it holds"))?;
    Ok(Attrs::new(attrs))
}

fn explain(status: i32, attrs: Attrs<'_>) -> Result<Refusal, Malformed> {
    let errno = Errno::from_raw(
        status
            .checked_neg()
            .ok_or(Malformed("an error has no number"))?,
    );
    let mut refusal = Refusal {
        errno,
        text: None,
        offset_bytes: None,
    };
    for attr in attrs {
        let attr = attr?;
        match attr.kind {
            ATTR_MSG => refusal.text = Some(attr.str()?.to_owned()),
            ATTR_OFFS => refusal.offset_bytes = Some(attr.u32()?),
            _ => {}
        }
    }
    Ok(refusal)
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
        if flags & CAPPED == 0 {
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
            port: 0,
            payload,
        })
    }

    #[test]
    fn the_words_are_found_with_and_without_the_quoted_request() {
        let mut attrs = Writer::default();
        attrs
            .put_str(ATTR_MSG, "Not this way")
            .put_u32(ATTR_OFFS, 20);
        for flags in [ACK_TLVS, ACK_TLVS | CAPPED] {
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
        assert_eq!(
            silent,
            Refusal {
                errno: Errno::EPERM,
                text: None,
                offset_bytes: None
            }
        );
    }

    #[test]
    fn zero_is_an_acknowledgement() {
        assert_eq!(
            read_back(&error(0, CAPPED, &[], &Writer::default())),
            Ok(None)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            flags in any::<u16>(), payload in prop::collection::vec(any::<u8>(), 0..128),
        ) {
            let message = Message { kind: 2, flags, seq: 0, port: 0, payload: &payload };
            let _ = (read(&message), read_done(&message));
        }
    }
}
