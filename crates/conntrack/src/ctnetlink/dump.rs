//! Every entry of the kernel's table, in one namespace, both families.

use netlink::DumpEnd;
use netlink::Error;
use netlink::Malformed;
use netlink::Request;
use netlink::Socket;
use netlink::ctnetlink::GET;
use shared::record::wire::Record;
use shared::record::wire::kind;

use super::parse;

/// How often a dump that changed under the reader is taken again.
const ATTEMPTS: usize = 3;

/// Gives each entry to `each` as a record of type `DUMP`, without time and namespace; entries may
/// come twice. What comes back says whether the last of a few attempts saw a table at rest.
///
/// # Errors
/// If the kernel refuses, or the exchange fails.
pub fn dump(
    socket: &mut Socket,
    mut each: impl FnMut(Result<Record, Malformed>),
) -> Result<DumpEnd, Error> {
    let mut end = DumpEnd::Interrupted;
    for _ in 0..ATTEMPTS {
        // `struct nfgenmsg` of AF_UNSPEC: every family.
        let mut request = Request::new(GET, 0, &[0; 4]);
        end = socket.dump(&mut request, |message| match parse(message) {
            Ok(Some(record)) => each(Ok(Record {
                r#type: kind::DUMP,
                ..record
            })),
            Ok(None) => {}
            Err(malformed) => each(Err(malformed)),
        })?;
        if end == DumpEnd::Consistent {
            break;
        }
    }
    Ok(end)
}
