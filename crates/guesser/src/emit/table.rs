//! The document as a table for people. Pure.

use shared::escape;
use shared::offsets::Document;
use shared::offsets::Method;
use shared::offsets::Status;

/// The document as a table for people.
pub fn table(document: &Document) -> String {
    let kernel = &document.kernel;
    let mut rows = vec![
        [
            "FIELD",
            "OFFSET",
            "SIZE",
            "STATUS",
            "METHOD",
            "BITS",
            "CANDIDATES",
        ]
        .map(String::from),
    ];
    for field in &document.fields {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let candidates: Vec<String> = field.candidates.iter().map(u32::to_string).collect();
        rows.push([
            field.name.clone(),
            or_dash(field.offset.map(|offset| offset.to_string())),
            field.size.to_string(),
            status_name(field.status).into(),
            or_dash(field.method.map(|method| method_name(method).into())),
            or_dash(field.evidence_bits.map(|bits| bits.to_string())),
            or_dash(
                (candidates.len() != 1)
                    .then(|| candidates.join(","))
                    .filter(|list| !list.is_empty()),
            ),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let build_id = kernel.build_id.as_deref().unwrap_or("none");
    let of = format!("{} {} build-id {build_id}", kernel.release, kernel.machine);
    // A capture may say anything of its kernel.
    let mut text = format!("{}\n", escape::one_line(&of));
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| match column {
                1 | 2 | 5 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Proven => "proven",
        Status::Ambiguous => "ambiguous",
        Status::Missing => "missing",
    }
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Guess => "guess",
        Method::Btf => "btf",
        Method::GuessBtf => "guess+btf",
    }
}
