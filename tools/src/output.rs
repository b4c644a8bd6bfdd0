//! What is printed on stdout: tables whose columns line up, JSON, and numbers people can read.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::error::CommandError;

/// Writes `text` and a newline to stdout.
pub(crate) fn line(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(CommandError::stdout)
}

/// Writes `value` as one line of JSON to stdout.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string(value)
        .map_err(|error| CommandError::Failed(format!("cannot put the result as JSON: {error}")))?;
    line(&text)
}

/// A table without lines: two spaces between columns, headings in capitals. Columns named in
/// `numbers` are aligned to the right.
pub(crate) fn table(headings: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings.to_vec());
    for row in rows {
        table.add_row(row);
    }
    let last = headings.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // Padding of the last column would be invisible and a nuisance to copy.
    table.trim_fmt()
}

/// Prints `table` unless it would only be headings.
pub(crate) fn table_or(
    headings: &[&str],
    numbers: &[usize],
    rows: Vec<Vec<String>>,
    when_empty: &str,
) -> Result<(), CommandError> {
    if rows.is_empty() {
        return line(when_empty);
    }
    line(&table(headings, numbers, rows))
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in the largest binary unit that keeps it at 1 or more.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Megabytes (10^6) a second.
pub(crate) fn rate(bytes: u64, elapsed: Duration) -> String {
    format!("{:.1} MB/s", bytes as f64 / 1e6 / elapsed.as_secs_f64().max(1e-9))
}

/// A duration in the unit that suits it.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 1e-3 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.0} us", seconds * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
    }

    #[test]
    fn bytes_take_the_unit_that_suits() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(76 << 20), "76.0 MiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let rows = vec![
            vec!["a".to_owned(), "1".to_owned(), "x".to_owned()],
            vec!["long name".to_owned(), "1,000".to_owned(), "y".to_owned()],
        ];
        let text = table(&["TOPIC", "BYTES", "REST"], &[1], rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "TOPIC      BYTES  REST");
        assert_eq!(lines[1], "a              1  x");
        assert_eq!(lines[2], "long name  1,000  y");
    }
}
