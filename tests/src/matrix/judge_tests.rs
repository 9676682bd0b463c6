//! Tests of the judge: right answers pass, every kind of wrong one is caught.

use serde_json::Value;
use serde_json::json;

use super::*;
use crate::matrix::kernels::Reasons;

const ASKED: &[Field] = &[Field::NfConnMark, Field::NfConnZone, Field::NetNsInum];

/// Mark at 168, no zone, everything else at 8.
fn layout() -> Layout {
    let lines: Vec<String> = Field::ALL
        .iter()
        .map(|field| match field {
            Field::NfConnMark => "nf_conn.mark 168".into(),
            Field::NfConnZone => "nf_conn.zone absent".into(),
            other => format!("{other} 8"),
        })
        .collect();
    Layout::parse(&lines.join("\n")).unwrap()
}

fn proven(name: &str, offset: u32) -> Value {
    json!({"name": name, "status": "proven", "offset": offset, "size": 4, "method": "guess",
        "evidence_bits": 60, "candidates": [offset]})
}

fn unproven(name: &str, status: &str) -> Value {
    json!({"name": name, "status": status, "size": 4, "candidates": [], "reason": "why not"})
}

/// A run that ends as it must where the zone, which is not in this kernel, is asked for.
fn run(release: &str, fields: &[Value]) -> Run {
    let document = json!({"schema": 1, "elapsed_us": 9, "fields": fields,
        "kernel": {"release": release, "version": "#1", "machine": "x86_64"}});
    Run {
        wall_us: 9,
        code: Some(1),
        out: document.to_string(),
        err: String::new(),
    }
}

fn verdict(run: &Run) -> Verdict {
    let reasons = Reasons::from([(Field::NfConnZone, "built without zones".into())]);
    judge(
        &Expectation {
            release: "6.12.1",
            fields: ASKED,
            layout: &layout(),
            reasons: &reasons,
        },
        run,
    )
}

fn judged(fields: &[Value]) -> Verdict {
    verdict(&run("6.12.1", fields))
}

#[test]
fn right_or_unproven_with_a_reason_is_complete() {
    let verdict = judged(&[
        proven("nf_conn.mark", 168),
        unproven("nf_conn.zone", "missing"),
        proven("net.ns.inum", 8),
    ]);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.right, [Field::NfConnMark, Field::NetNsInum]);
}

#[test]
fn every_wrong_claim_is_caught() {
    let zone = || unproven("nf_conn.zone", "missing");
    let inum = || proven("net.ns.inum", 8);
    let mut without_offset = proven("nf_conn.mark", 168);
    without_offset["offset"] = Value::Null;
    let mut not_proven = unproven("nf_conn.mark", "ambiguous");
    not_proven["offset"] = 168.into();
    for (fields, words) in [
        (
            vec![proven("nf_conn.mark", 172), zone(), inum()],
            "nf_conn.mark: proven at 172, is at 168",
        ),
        (
            vec![
                proven("nf_conn.mark", 168),
                proven("nf_conn.zone", 12),
                inum(),
            ],
            "nf_conn.zone: proven at 12, is not in this kernel",
        ),
        // Not asked for, and wrong nevertheless.
        (
            vec![
                proven("nf_conn.mark", 168),
                zone(),
                inum(),
                proven("socket.sk", 24),
            ],
            "socket.sk: proven at 24, is at 8",
        ),
        (
            vec![
                proven("nf_conn.mark", 168),
                proven("nf_conn.mark", 168),
                zone(),
                inum(),
            ],
            "nf_conn.mark is listed twice",
        ),
        (
            vec![
                proven("nf_conn.mark", 168),
                zone(),
                inum(),
                proven("nf_conn.nope", 8),
            ],
            "nf_conn.nope: no such field",
        ),
        (
            vec![without_offset, zone(), inum()],
            "nf_conn.mark: proven without an offset",
        ),
        (
            vec![not_proven, zone(), inum()],
            "nf_conn.mark: has an offset, but is not proven",
        ),
    ] {
        assert_eq!(judged(&fields).wrong, [words]);
    }
    let elsewhere = run("6.1.0", &[proven("nf_conn.mark", 168), zone(), inum()]);
    assert_eq!(
        verdict(&elsewhere).wrong,
        ["reports kernel 6.1.0, but this is 6.12.1"]
    );
}

#[test]
fn unproven_without_a_reason_is_not_complete() {
    let verdict = judged(&[
        unproven("nf_conn.mark", "ambiguous"),
        unproven("nf_conn.zone", "missing"),
    ]);
    assert_eq!(
        verdict.missed,
        [
            "nf_conn.mark: ambiguous: why not",
            "net.ns.inum: not in the document"
        ]
    );
    assert!(verdict.wrong.is_empty());
}

#[test]
fn no_reason_excuses_candidates_for_an_absent_field() {
    let verdict = judged(&[
        proven("nf_conn.mark", 168),
        unproven("nf_conn.zone", "ambiguous"),
        proven("net.ns.inum", 8),
    ]);
    assert_eq!(
        verdict.missed,
        ["nf_conn.zone: ambiguous, and is not in this kernel: why not"]
    );
}

#[test]
fn a_document_needs_its_exit_code() {
    let ended = |fields: &[Value], code: Option<i32>| {
        let mut ended = run("6.12.1", fields);
        ended.code = code;
        ended.err = "guesser: first\nguesser: last\n".into();
        let verdict = verdict(&ended);
        assert!(verdict.wrong.is_empty(), "{verdict:?}");
        verdict.missed
    };
    let some = [
        proven("nf_conn.mark", 168),
        unproven("nf_conn.zone", "missing"),
        proven("net.ns.inum", 8),
    ];
    assert_eq!(ended(&some, Some(1)), Vec::<String>::new());
    for code in [0, 3, 5] {
        assert_eq!(
            ended(&some, Some(code)),
            [format!(
                "exit {code} with a document that needs exit 1: guesser: last"
            )]
        );
    }
    assert_eq!(
        ended(&some, None),
        ["wrote a document, but did not end by itself: guesser: last"]
    );

    let all = |code| {
        let mut ended = run("6.12.1", &[proven("nf_conn.mark", 168)]);
        ended.code = Some(code);
        let expected = Expectation {
            release: "6.12.1",
            fields: &[Field::NfConnMark],
            layout: &layout(),
            reasons: &Reasons::new(),
        };
        judge(&expected, &ended).missed
    };
    assert_eq!(all(0), Vec::<String>::new());
    assert_eq!(
        all(1),
        ["exit 1 with a document that needs exit 0: no message"]
    );
}

#[test]
fn a_run_without_a_document_missed_everything() {
    let mut failed = run("6.12.1", &[]);
    failed.out.clear();
    failed.err = "guesser: first\nguesser: attach: EPERM\n".into();
    failed.code = Some(3);
    let missed = |run: &Run| verdict(run).missed;
    assert_eq!(
        missed(&failed),
        ["no document, exit 3: guesser: attach: EPERM"]
    );
    failed.code = None;
    assert_eq!(
        missed(&failed),
        ["did not end by itself: guesser: attach: EPERM"]
    );
    failed.out = "{}".into();
    failed.code = Some(0);
    assert!(missed(&failed)[0].starts_with("no document of guesser: missing field"));
}
