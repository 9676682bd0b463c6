//! Where the headers of a packet must begin in its buffer. Pure.

use shared::offsets::Field;

use super::value::Ends;
use crate::fields::Place;
use crate::solve::sample::Expectations;
use crate::solve::sample::Expected;

/// A packet gets a random number of option words below this: from none to as many as fit.
pub const OPTION_WORDS: u32 = 11;
/// The headers move by one of eleven lengths.
const HEADER_BITS: u32 = 3;
// The layout of an IPv4 header behind an Ethernet header, which loopback devices have as well.
const SADDR_AT: i32 = 12;
const OPTIONS_AT: i32 = 20;
const ETHERNET_BYTES: i32 = 14;
/// IPOPT_NOP.
const NOP: u8 = 1;

/// IP options without effect, this many words of them.
pub fn options(words: u32) -> Vec<u8> {
    vec![NOP; 4 * words as usize]
}

/// Where the headers are, given the addresses and ports of the packet on the wire and its number of
/// option words.
pub fn expected(wire: Ends, option_words: u32) -> Expectations {
    let options = options(option_words);
    let landmark = [
        &wire.src.ip().octets()[..],
        &wire.dst.ip().octets(),
        &options,
        &wire.src.port().to_be_bytes(),
        &wire.dst.port().to_be_bytes(),
    ]
    .concat();
    let header = |field: Field, further_bytes| {
        let index = Expected::Index {
            landmark: landmark.clone(),
            further_bytes,
            bits: HEADER_BITS,
        };
        (Place::Field(field), index)
    };
    let transport = OPTIONS_AT - SADDR_AT + options.len() as i32;
    vec![
        (Field::SkBuffHead.into(), Expected::Address),
        header(Field::SkBuffTransportHeader, transport),
        header(Field::SkBuffNetworkHeader, -SADDR_AT),
        header(Field::SkBuffMacHeader, -SADDR_AT - ETHERNET_BYTES),
    ]
}

/// The pointers behind which nothing is known if the packet may be tracked in a way that we do not
/// control.
pub const MAY_BE_TRACKED: &[Place] = &[Place::Field(Field::SkBuffNfct)];

/// The packet belongs to no connection.
pub const fn untracked() -> (Place, Expected) {
    (Place::Field(Field::SkBuffNfct), Expected::Null)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;
    use crate::solve::bytes::indices_of;

    #[test]
    fn headers_are_found_in_a_frame() {
        let end = |last, port| SocketAddrV4::new([127, 9, 8, last].into(), port);
        let wire = Ends {
            src: end(1, 0x1111),
            dst: end(2, 0x2222),
        };
        let mut frame = vec![0; 40];
        frame.extend([0; 12]);
        frame.extend([8, 0, 0x47, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([127, 9, 8, 1, 127, 9, 8, 2]);
        frame.extend(options(2));
        frame.extend([0x11, 0x11, 0x22, 0x22, 0, 9, 0, 0, 7]);
        let found: Vec<Vec<u16>> = expected(wire, 2)
            .iter()
            .filter_map(|(_, expected)| match expected {
                Expected::Index {
                    landmark,
                    further_bytes,
                    ..
                } => Some(indices_of(&frame, landmark, *further_bytes)),
                _ => None,
            })
            .collect();
        assert_eq!(found, [[82], [54], [40]]);
    }
}
