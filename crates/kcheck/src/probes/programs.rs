//! Programs that are run from user space, attached to nothing.

use libbpf_rs::RingBufferBuilder;
use nix::errno::Errno;

use shared::lockdown::CONFIDENTIALITY;

use crate::bpf;
use crate::bpf::Loaded;
use crate::errno::KernelErrno;
use crate::privileges::Privileges;
use crate::probe::Attempt;
use crate::probe::Obstacle;

use super::token::Token;

/// Does a program run when it is asked to, and get its argument?
pub fn test_run(token: &Token) -> Attempt {
    let loaded = Loaded::load("run", &[bpf::TRACE])?;
    loaded.run(token.number())?;
    expect(
        loaded.trace()?,
        token.number(),
        "a raw tracepoint program ran and got its argument",
    )
}

/// Does a program see every element of a map?
pub fn for_each() -> Attempt {
    let loaded = Loaded::load("for_each", &[bpf::TRACE, bpf::WALKED])?;
    let values: [u64; 3] = [1, 20, 300];
    for value in values {
        loaded.store(bpf::WALKED, &value.to_ne_bytes(), &value.to_ne_bytes())?;
    }
    loaded.run(0)?;
    expect(
        loaded.trace()?,
        values.iter().sum(),
        "a program walked a hash map",
    )
}

/// Does a program's record come out of a ring buffer?
pub fn ringbuf(token: &Token) -> Attempt {
    let loaded = Loaded::load("output", &[bpf::RECORDS])?;
    loaded.run(token.number())?;
    let mut records: Vec<Vec<u8>> = Vec::new();
    let map = loaded.map(bpf::RECORDS);
    let mut builder = RingBufferBuilder::new();
    builder
        .add(&map, |record| {
            records.push(record.to_vec());
            0
        })
        .map_err(|error| Obstacle::libbpf("mmap of the ring buffer", &error))?;
    let ring = builder
        .build()
        .map_err(|error| Obstacle::libbpf("mmap of the ring buffer", &error))?;
    ring.consume()
        .map_err(|error| Obstacle::libbpf("reading the ring buffer", &error))?;
    drop(ring);
    if records == [token.number().to_ne_bytes()] {
        Ok("a program's record was consumed".into())
    } else {
        Err(Obstacle::absent("a program's record did not come out"))
    }
}

/// Does a program read what lies at a kernel address?
pub fn read_kernel(token: &Token, privileges: &Privileges) -> Attempt {
    let loaded = Loaded::load("read_kernel", &[bpf::TRACE])
        .map_err(|obstacle| by_lockdown(obstacle, privileges))?;
    loaded.run(token.number())?;
    expect(
        loaded.trace()?,
        !token.number(),
        "a program read a word of kernel memory",
    )
}

/// Under lockdown the kernel says that there is no such helper (`bpf_tracing_func_proto` and
/// `bpf_base_func_proto`), which is not the answer to our question.
fn by_lockdown(obstacle: Obstacle, privileges: &Privileges) -> Obstacle {
    let unknown_helper = Some(KernelErrno::from(Errno::EINVAL));
    match obstacle {
        Obstacle::Refused { errno, .. }
            if errno == unknown_helper
                && privileges.lockdown.as_deref() == Some(CONFIDENTIALITY) =>
        {
            let reason = "lockdown (confidentiality) forbids reading kernel memory".into();
            Obstacle::Policy { reason, errno }
        }
        other => other,
    }
}

fn expect(trace: u64, expected: u64, seen: &str) -> Attempt {
    if trace == expected {
        Ok(seen.into())
    } else {
        Err(Obstacle::absent("the program ran without its effect"))
    }
}
