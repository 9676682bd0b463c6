//! Interfaces by index: `RTM_GETLINK`, `RTM_NEWLINK`, and the name in an answer. Pure.

use crate::Malformed;
use crate::Message;
use crate::Request;

/// Every namespace's loopback interface.
pub const LOOPBACK: u32 = 1;

/// Asks for an interface, without its statistics.
#[must_use]
pub fn get(index: u32) -> Request {
    let mut request = Request::new(libc::RTM_GETLINK, 0, &ifinfomsg(index, 0));
    let mask = libc::RTEXT_FILTER_SKIP_STATS as u32;
    request.attrs().put_u32(libc::IFLA_EXT_MASK, mask);
    request
}

/// Reads the name in the answer to [`get`].
///
/// # Errors
/// If there is none.
pub fn name(message: &Message<'_>) -> Result<String, Malformed> {
    let (_ifinfomsg, attrs) = message.split::<16>()?;
    for attr in attrs {
        let attr = attr?;
        if attr.kind == libc::IFLA_IFNAME {
            return Ok(attr.text());
        }
    }
    Err(Malformed("an interface has no name"))
}

/// Asks to bring an interface up.
#[must_use]
pub fn set_up(index: u32) -> Request {
    Request::new(libc::RTM_NEWLINK, 0, &ifinfomsg(index, libc::IFF_UP as u32))
}

/// `struct ifinfomsg`: family, padding, type, index, flags, and which flags to change.
fn ifinfomsg(index: u32, flags: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&flags.to_ne_bytes());
    bytes
}
