//! Captures of a synthetic kernel: what is written is read back, a replay ends as the run did, and what
//! makes no sense is refused. No byte of a real kernel is here.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use guess::attempt::Attempt;
use guess::attempt::run_rounds;
use guess::fields::Event;
use guess::fields::Place;
use guess::path::AccessPath;
use guess::path::ReadPlan;
use guess::solve::sample::Expected;
use guess::solve::sample::Sample;
use guess::solve::sample::View;
use guess::solve::sample::Worth;
use guess::solve::verdict::Finding;
use shared::kernel::KernelIdentity;
use shared::offsets::Field;

use super::*;

const FIELDS: &[Field] = &[
    Field::SkBuffNfct,
    Field::NfConnTupleOrig,
    Field::NfConnTupleReply,
    Field::NfConnMark,
];
const NFCT_AT: usize = 16;
const ORIG_AT: usize = 8;
const REPLY_AT: usize = 56;
const MARK_AT: usize = 100;
const CONNECTIONS: u64 = 6;
/// A capture that an older version of this program wrote.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/replay/synthetic.capture");

fn kernel() -> KernelIdentity {
    KernelIdentity {
        release: "6.12-synthetic".into(),
        version: "#1".into(),
        machine: "x86_64".into(),
        build_id: None,
    }
}

fn bytes(field: Field, value: &[u8], bits: u32) -> (Place, Expected) {
    let expected = Expected::Bytes {
        bytes: value.to_vec(),
        worth: Worth::Given(bits),
    };
    (Place::Field(field), expected)
}

/// One packet of a connection: an `sk_buff` of 40 bytes and the `nf_conn` that it points to, of 112.
fn sample(plan: &ReadPlan, id: u64) -> Sample {
    let address = 0xffff_8880_0000_0000 + id * 0x400;
    let tuple = |salt: u8| -> Vec<u8> {
        (0..40_u8)
            .map(|at| (at * 5) ^ salt.wrapping_mul(id as u8))
            .collect()
    };
    let (orig, reply) = (tuple(31), tuple(77));
    let mark = 0xabad_0000 + id as u32;
    let mut sk_buff = vec![0; 40];
    sk_buff[NFCT_AT..][..8].copy_from_slice(&(address | 2).to_ne_bytes());
    let mut nf_conn = vec![0x5a; 112];
    nf_conn[ORIG_AT..][..40].copy_from_slice(&orig);
    nf_conn[REPLY_AT..][..40].copy_from_slice(&reply);
    nf_conn[MARK_AT..][..4].copy_from_slice(&mark.to_ne_bytes());
    let view = |path: &AccessPath| {
        let (address, bytes) = match path.steps.as_slice() {
            [] => (address - 0x100, sk_buff.clone()),
            [step] if step.offset as usize == NFCT_AT => (address, nf_conn.clone()),
            _ => (0, Vec::new()),
        };
        View {
            path: path.clone(),
            address,
            parent_address: 0xffff_8880_0000_0000,
            bytes,
        }
    };
    Sample {
        name: format!("packet of connection {id}"),
        event: Event::Packet,
        expected: vec![
            (
                Place::Field(Field::SkBuffNfct),
                Expected::Object { id, tag: 2 },
            ),
            bytes(Field::NfConnTupleOrig, &orig, 60),
            bytes(Field::NfConnTupleReply, &reply, 60),
            bytes(Field::NfConnMark, &mark.to_ne_bytes(), 20),
        ],
        views: plan.reads().map(|read| view(&read.path)).collect(),
    }
}

/// The findings and the capture of a run.
fn run() -> (Vec<Finding>, Capture) {
    let mut attempt = Attempt::offline(FIELDS, true);
    let mut next = 1;
    run_rounds(&mut attempt, |attempt, _| {
        for id in next..next + CONNECTIONS {
            let plan = attempt.solver.plan(Event::Packet, &[]).unwrap();
            attempt.take(sample(&plan, id));
        }
        next += CONNECTIONS;
        Ok(())
    })
    .unwrap();
    let findings = attempt.solver.findings();
    let capture = Capture::of(&kernel(), attempt, &findings);
    (findings, capture)
}

#[test]
fn a_replay_ends_as_the_run_did() {
    let (findings, capture) = run();
    let offsets: Vec<_> = findings.iter().map(Finding::offset).collect();
    let true_ones = [NFCT_AT, ORIG_AT, REPLY_AT, MARK_AT];
    assert_eq!(offsets, true_ones.map(|at| Some(at as u32)));
    let again = decode(&encode(&capture).unwrap()).unwrap();
    assert_eq!(again, capture);
    assert_eq!(again.solve().1, findings);
}

#[test]
fn a_replay_withdraws_what_the_run_withdrew() {
    let (_, capture) = run();
    let (attempt, mut findings) = capture.clone().solve();
    findings[3].withdraw("fresh connections contradict it".into());
    let mut capture = Capture {
        withdrawn: Capture::of(&kernel(), attempt, &findings).withdrawn,
        ..capture
    };
    let again = decode(&encode(&capture).unwrap()).unwrap();
    assert_eq!(again.solve().1, findings);
    for (place, why) in [
        (Place::Field(Field::SockNum), "not asked for"),
        (Place::Field(Field::NfConnMark), "\x1b[2J"),
    ] {
        capture.withdrawn = vec![(place, why.to_owned())];
        assert!(encode(&capture).is_err(), "{why:?}");
    }
}

/// A capture with every kind of value, each at a place of its kind, at every event.
fn varied() -> Capture {
    let at = Duration::from_millis;
    let values = [
        (
            Place::Field(Field::TcpSockSrttUs),
            Expected::Shifted {
                value: 3,
                shift: 3,
                worth: Worth::Drawn(9),
            },
        ),
        (
            Place::Field(Field::SkBuffTransportHeader),
            Expected::Index {
                landmark: vec![7, 0],
                further_bytes: -2,
                bits: 5,
            },
        ),
        (
            Place::Field(Field::NfConnTimeout),
            Expected::Deadline {
                ahead_s: 70_000,
                between: (at(5), at(9)),
            },
        ),
        (Place::Field(Field::SkBuffNfct), Expected::Null),
        (Place::Field(Field::SkBuffHead), Expected::Address),
        (
            Place::Field(Field::SkBuffSk),
            Expected::Object { id: 1, tag: 0 },
        ),
        (Place::SockSocket, Expected::Object { id: 2, tag: 0 }),
        (Place::Field(Field::SocketSk), Expected::Back),
        bytes(Field::Flowi4Daddr, &[127, 0, 0, 9], 23),
        bytes(Field::Flowi6Daddr, &[9; 16], 23),
        bytes(Field::SockDport, &[9, 9], 15),
    ];
    let sample = |event: Event| {
        let shown = AccessPath::to_shown(event);
        let paths = [
            shown.clone(),
            shown.then(Place::Field(Field::SkBuffSk), 8),
            shown.then(Place::Field(Field::SkBuffHead), 16),
            shown
                .then(Place::Field(Field::SkBuffSk), 8)
                .then(Place::SockSocket, 24),
        ];
        let view = |path| View {
            path,
            address: 0xffff_8880_0000_1000,
            parent_address: 0xffff_8880_0000_2000,
            bytes: (0..96).map(|byte| byte / 8 * 23).collect(),
        };
        Sample {
            name: String::new(),
            event,
            expected: values.to_vec(),
            views: paths.map(view).to_vec(),
        }
    };
    Capture {
        kernel: kernel(),
        machine: Machine::HERE,
        fields: Field::ALL.iter().copied().map(Place::Field).collect(),
        rounds: vec![Event::ALL.map(sample).to_vec(); 2],
        withdrawn: vec![(Place::Field(Field::SockDport), "no reason".into())],
    }
}

#[test]
fn every_kind_of_value_is_read_back_as_written() {
    let capture = varied();
    let bytes = encode(&capture).unwrap();
    assert_eq!(decode(&bytes).unwrap(), capture);
    // The values contradict each other, so they prove nothing.
    let (_, findings) = capture.solve();
    assert!(findings.iter().all(|finding| finding.offset().is_none()));
}

#[test]
fn a_capture_of_an_older_version_is_read() {
    let (findings, capture) = run();
    if env::var_os("BLESS").is_some() {
        fs::write(KEPT, encode(&capture).unwrap()).unwrap();
    }
    let kept = read(Path::new(KEPT)).unwrap();
    // The evidence depends on what that version read.
    let offsets = |findings: &[Finding]| -> Vec<_> {
        let verdict = |one: &Finding| (one.field, one.status, one.offset());
        findings.iter().map(verdict).collect()
    };
    let (_, of_kept) = kept.solve();
    assert_eq!(offsets(&of_kept), offsets(&findings));
}

#[test]
fn only_its_owner_may_read_a_capture() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture");
    check_destination(&file).unwrap();
    let (_, capture) = run();
    record(&file, &capture).unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(read(&file).unwrap(), capture);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let link = dir.path().join("link");
    symlink(&file, &link).unwrap();
    for elsewhere in [
        &link,
        dir.path(),
        Path::new("/dev/null"),
        Path::new("/no/such"),
    ] {
        assert!(check_destination(elsewhere).is_err(), "{elsewhere:?}");
    }
}

#[test]
fn samples_of_another_kind_of_machine_are_not_solved() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture");
    let (_, mut capture) = run();
    capture.machine.big_endian ^= true;
    record(&file, &capture).unwrap();
    let error = read(&file).unwrap_err().to_string();
    assert!(error.contains("another kind of machine"), "{error}");
}

/// Why a capture is refused after a change.
fn refused(change: impl Fn(&mut Capture)) -> String {
    let (_, mut capture) = run();
    change(&mut capture);
    encode(&capture).unwrap_err().to_string()
}

#[test]
fn a_capture_out_of_bounds_is_refused() {
    let first = |change: fn(&mut Sample)| refused(move |capture| change(&mut capture.rounds[0][0]));
    for (refusal, why) in [
        (
            refused(|capture| capture.fields[1] = Place::SockSocket),
            "a field is listed twice, or is none",
        ),
        (
            refused(|capture| capture.fields[1] = capture.fields[0]),
            "a field is listed twice, or is none",
        ),
        (
            refused(|capture| capture.rounds = vec![Vec::new(); 1000]),
            "more samples than a run takes",
        ),
        (
            first(|sample| sample.name = "x".repeat(1000)),
            "sample 1: its name is too long",
        ),
        (
            first(|sample| sample.views[0].bytes = vec![0; 1 << 20]),
            "sample 1: more bytes than are read at once",
        ),
        (
            first(|sample| sample.views[0].bytes = vec![0; 520]),
            "sample 1: a struct is larger than its window",
        ),
        (
            first(|sample| sample.views[0].path.event = Event::Route4),
            "sample 1: a path leads nowhere",
        ),
        (
            first(|sample| {
                let path = &sample.views[0].path;
                sample.views[0].path = path.then(Place::Field(Field::NfConnMark), 0);
            }),
            "sample 1: a path leads nowhere",
        ),
    ] {
        assert_eq!(refusal, format!("offsets capture is corrupt: {why}"));
    }
    for expected in [
        Expected::Shifted {
            value: 1,
            shift: 32,
            worth: Worth::Drawn(1),
        },
        Expected::Bytes {
            bytes: vec![1],
            worth: Worth::Given(u32::MAX),
        },
        Expected::Index {
            landmark: Vec::new(),
            further_bytes: 0,
            bits: 1,
        },
        Expected::Deadline {
            ahead_s: 1,
            between: (Duration::from_secs(2), Duration::from_secs(1)),
        },
    ] {
        let said = refused(|capture| capture.rounds[0][0].expected[0].1 = expected.clone());
        assert!(
            said.ends_with("an expected value is out of range"),
            "{said}"
        );
    }
}
