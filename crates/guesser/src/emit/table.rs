//! The document as a table for people. Pure.

use std::array;

use serde_json::Value;
use shared::escape;
use shared::offsets::Document;

/// Each column, and the key of its cells in the JSON form of a field.
const COLUMNS: [(&str, &str); 7] = [
    ("FIELD", "name"),
    ("OFFSET", "offset"),
    ("SIZE", "size"),
    ("STATUS", "status"),
    ("METHOD", "method"),
    ("BITS", "evidence_bits"),
    ("CANDIDATES", "candidates"),
];

/// The document as a table for people.
///
/// # Errors
/// If it has no JSON form.
pub fn table(document: &Document) -> serde_json::Result<String> {
    let mut rows = vec![COLUMNS.map(|(heading, _)| heading.to_owned())];
    for field in &document.fields {
        let field = serde_json::to_value(field)?;
        rows.push(COLUMNS.map(|(_, key)| cell(&field[key])));
    }
    let widths: [usize; COLUMNS.len()] =
        array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let kernel = &document.kernel;
    let build_id = kernel.build_id.as_deref().unwrap_or("none");
    let kernel = format!("{} {} build-id {build_id}", kernel.release, kernel.machine);
    // A capture may contain any text as the name of its kernel.
    let mut text = format!("{}\n", escape::one_line(&kernel));
    for row in rows {
        let cells = row.iter().zip(widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(column, (cell, width))| match COLUMNS[column].0 {
                "OFFSET" | "SIZE" | "BITS" => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    Ok(text)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // The only candidate is the offset.
        Value::Array(several) if several.len() > 1 => {
            let several: Vec<String> = several.iter().map(Value::to_string).collect();
            several.join(",")
        }
        Value::Null | Value::Array(_) => "-".to_owned(),
        number => number.to_string(),
    }
}
