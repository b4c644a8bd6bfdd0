//! Real text: this repository's sources and documents, repeated as often as needed.

use std::fs;
use std::path::Path;

/// Bytes of the text unless RINGSPOOL_TEST_BYTES says otherwise (76000000 for the full size).
const BYTES_DEFAULT: usize = 8_000_000;

/// Lines of real text, of about RINGSPOOL_TEST_BYTES in all.
pub fn lines() -> Vec<Vec<u8>> {
    let bytes = std::env::var("RINGSPOOL_TEST_BYTES");
    let bytes = bytes.map_or(BYTES_DEFAULT, |text| text.parse().expect("RINGSPOOL_TEST_BYTES"));
    lines_of_about(bytes)
}

/// Lines of real text, of about `bytes` in all.
pub fn lines_of_about(bytes: usize) -> Vec<Vec<u8>> {
    let mut text = Vec::new();
    gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut text);
    assert!(text.len() > 10_000, "the repository's sources were not found");
    let mut lines = Vec::new();
    let mut total = 0;
    let source: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    for line in source.iter().cycle() {
        if total >= bytes {
            break;
        }
        total += line.len() + 1;
        lines.push(line.to_vec());
    }
    lines
}

/// Puts its number in front of each line, so that lines are told apart, and a tab.
pub fn numbered(lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let number =
        |(index, line): (usize, Vec<u8>)| [format!("{index}\t").into_bytes(), line].concat();
    lines.into_iter().enumerate().map(number).collect()
}

/// The number in front of a numbered line.
pub fn number(line: &[u8]) -> usize {
    let digits = line.split(|&byte| byte == b'\t').next().expect("a first part");
    std::str::from_utf8(digits).expect("digits").parse().expect("a number")
}

/// Lines as a file has them.
pub fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }
    bytes
}

/// Bytes that do not compress: xorshift from a seed.
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

fn gather(directory: &Path, text: &mut Vec<u8>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            gather(&path, text);
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            text.extend(fs::read(&path).unwrap_or_default());
        }
    }
}
