//! Programs that run on request of user space, attached to no hook.

use libbpf_rs::RingBufferBuilder;
use nix::errno::Errno;

use shared::lockdown::CONFIDENTIALITY;

use crate::bpf;
use crate::bpf::Loaded;
use crate::privileges::Privileges;
use crate::probe::Answer;
use crate::probe::Attempt;
use crate::probe::During as _;
use crate::probe::Obstacle;
use crate::probe::Verdict;
use crate::probe::answer;

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
        "a program iterated over a hash map",
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
        .during("mmap of the ring buffer")?;
    let ring = builder.build().during("mmap of the ring buffer")?;
    ring.consume().during("reading the ring buffer")?;
    drop(ring);
    answer(
        records == [token.number().to_ne_bytes()],
        "a program's record was consumed",
        "a program's record did not come out",
    )
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

/// Under lockdown the kernel refuses the program as if it had no such helper (`bpf_tracing_func_proto` and
/// `bpf_base_func_proto`); the answer is that lockdown forbids it.
fn by_lockdown(obstacle: Obstacle, privileges: &Privileges) -> Obstacle {
    match obstacle {
        Obstacle::Refused { errno, .. }
            if errno == Some(Errno::EINVAL.into())
                && privileges.lockdown.as_deref() == Some(CONFIDENTIALITY) =>
        {
            let detail = "lockdown (confidentiality) forbids reading kernel memory";
            Obstacle::Answered(Answer {
                errno,
                ..Answer::new(Verdict::Forbidden, detail)
            })
        }
        other => other,
    }
}

fn expect(trace: u64, expected: u64, seen: &str) -> Attempt {
    answer(
        trace == expected,
        seen,
        "the program ran without its effect",
    )
}
