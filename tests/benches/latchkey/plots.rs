//! Drawings of the results, as SVG: plain enough to be written by hand, and to be read on a light and a dark page.

use std::fmt::Write as _;

use crate::{
    report::{Report, Row, Table, number},
    revocation,
    worlds::LEASE_MILLIS,
};

/// The colours of the rows that belong together; ours stands out.
const OURS: &str = "#d9480f";
const OTHERS: [&str; 3] = ["#1971c2", "#2f9e44", "#7048e8"];
const WIDTH: f64 = 760.0;
/// Left of the bars, for their names.
const MARGIN: f64 = 190.0;
/// Right of them, for their numbers.
const RIGHT: f64 = 190.0;

/// The names of the files, and the drawings.
#[must_use]
pub fn draw(report: &Report) -> Vec<(&'static str, String)> {
    let edge = report.of("edge").next().map(|table| ("edge.svg", bars(table)));
    let revocation = report.of("revocation").next().map(|table| ("revocation.svg", distributions(table)));
    edge.into_iter().chain(revocation).collect()
}

/// Requests per second of each row, as a share of those of the first row.
fn bars(table: &Table) -> String {
    const HEIGHT: f64 = 26.0;
    let median = |row: &Row, name| row.measurement(name).map(|measurement| measurement.median);
    let ratio = |row: &Row| median(row, "requests/s ÷ empty").unwrap_or(1.0);
    let longest = table.rows.iter().map(ratio).fold(1.0, f64::max);
    let scale = (WIDTH - MARGIN - RIGHT) / longest;
    let mut svg = head(&table.title, 60.0 + HEIGHT * table.rows.len() as f64);
    for (place, row) in table.rows.iter().enumerate() {
        let top = 50.0 + HEIGHT * place as f64;
        let (middle, width) = (top + 14.0, ratio(row) * scale);
        let colour = if row.name.starts_with("ours") { OURS } else { OTHERS[0] };
        let rate = median(row, "requests/s").unwrap_or_default();
        let label = format!("{} of empty; {} /s", number(ratio(row)), number(rate));
        text(&mut svg, MARGIN - 8.0, middle, "end", &row.name);
        let _ = writeln!(
            svg,
            r#"<rect x="{MARGIN}" y="{top:.1}" width="{width:.1}" height="{:.1}" fill="{colour}"/>"#,
            HEIGHT - 7.0
        );
        text(&mut svg, MARGIN + width + 6.0, middle, "start", &label);
    }
    svg + "</svg>\n"
}

/// Which share of the revocations was known everywhere after how many seconds: a line for each row, and the bound.
fn distributions(table: &Table) -> String {
    const LEFT: f64 = 60.0;
    const TOP: f64 = 60.0;
    const BOTTOM: f64 = 300.0;
    const SECONDS: f64 = 2.2;
    let bound = f64::from(LEASE_MILLIS) / 1_000.0;
    let x = |seconds: f64| LEFT + (WIDTH - LEFT - 30.0) * seconds.min(SECONDS) / SECONDS;
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
    let mut svg = head(&table.title, BOTTOM + 50.0);
    for tenth in [0.0, 0.25, 0.5, 0.75, 1.0] {
        line(&mut svg, (x(0.0), y(tenth)), (x(SECONDS), y(tenth)), "#8888", "1");
        text(&mut svg, LEFT - 8.0, y(tenth) + 4.0, "end", &format!("{:.0} %", tenth * 100.0));
    }
    for half in 0..=4 {
        let seconds = f64::from(half) * 0.5;
        text(&mut svg, x(seconds), BOTTOM + 20.0, "middle", &format!("{seconds} s"));
    }
    line(&mut svg, (x(bound), TOP - 8.0), (x(bound), BOTTOM), OURS, "2");
    text(&mut svg, x(bound) - 6.0, TOP - 10.0, "end", &format!("the bound: {bound} s"));
    for (place, (row, colour)) in table.rows.iter().zip(OTHERS).enumerate() {
        let Some(all) = row.measurement(revocation::ALL) else { continue };
        let mut seconds = all.samples.clone();
        seconds.sort_by(f64::total_cmp);
        let mut points = format!("{:.1},{:.1}", x(0.0), y(0.0));
        for (rank, seconds) in seconds.iter().enumerate() {
            let share = |rank: usize| rank as f64 / all.samples.len() as f64;
            let _ = write!(points, " {:.1},{:.1}", x(*seconds), y(share(rank)));
            let _ = write!(points, " {:.1},{:.1}", x(*seconds), y(share(rank + 1)));
        }
        let _ = writeln!(svg, r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>"#);
        let legend = LEFT + 12.0 + 110.0 * place as f64;
        line(&mut svg, (legend, BOTTOM + 40.0), (legend + 20.0, BOTTOM + 40.0), colour, "3");
        text(&mut svg, legend + 26.0, BOTTOM + 44.0, "start", &row.name);
    }
    svg + "</svg>\n"
}

fn head(title: &str, height: f64) -> String {
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#fff"/>
"##
    );
    let _ = writeln!(svg, r#"<text x="16" y="28" font-size="15" font-weight="bold">{}</text>"#, escaped(title));
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#, escaped(text));
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str, width: &str) {
    let _ = writeln!(
        svg,
        r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}" stroke-width="{width}"/>"#
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
