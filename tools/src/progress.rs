//! Progress of long work: a bar on stderr when that is a terminal, silence otherwise.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn.
const DRAWS_PER_SECOND: u8 = 10;

/// A bar over `total` bytes, or without an end when the total is unknown.
pub(crate) fn bytes(total: Option<u64>, what: &str) -> ProgressBar {
    let template = match total {
        Some(_) => {
            "{msg} {wide_bar:.cyan/dim} {decimal_bytes}/{decimal_total_bytes} \
             {decimal_bytes_per_sec} {eta}"
        }
        None => "{spinner} {msg} {decimal_bytes} {decimal_bytes_per_sec} {elapsed}",
    };
    bar(total, template, what)
}

/// A bar over `total` records, or without an end when the total is unknown.
pub(crate) fn records(total: Option<u64>, what: &str) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} {wide_bar:.cyan/dim} {human_pos}/{human_len} {per_sec} {eta}",
        None => "{spinner} {msg} {human_pos} records {per_sec} {elapsed}",
    };
    bar(total, template, what)
}

fn bar(total: Option<u64>, template: &str, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    let bar = ProgressBar::with_draw_target(total, target);
    // The templates are constants above; a wrong one would only cost the looks.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
