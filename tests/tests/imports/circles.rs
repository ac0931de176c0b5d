//! Files that import each other, directly or by way of others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::Import;

/// The files that a file imports from, and by which import.
type Edges<'a> = BTreeMap<&'a str, Vec<(&'a str, &'a Import)>>;

/// The shortest circle of each file that is in one.
pub fn circles(imports: &[Import]) -> Vec<Vec<&Import>> {
    let mut edges: Edges<'_> = BTreeMap::new();
    for import in imports {
        if let Some(target) = &import.target {
            edges.entry(&import.file).or_default().push((target, import));
        }
    }
    let mut circles = BTreeMap::new();
    for circle in edges.keys().filter_map(|start| shortest_circle(start, &edges)) {
        let files: BTreeSet<&str> = circle.iter().map(|import| &*import.file).collect();
        circles.entry(files).or_insert(circle);
    }
    circles.into_values().collect()
}

fn shortest_circle<'a>(start: &str, edges: &Edges<'a>) -> Option<Vec<&'a Import>> {
    let mut ways = VecDeque::from([(start, vec![])]);
    let mut seen = BTreeSet::new();
    while let Some((end, way)) = ways.pop_front() {
        for (next, import) in edges.get(end).into_iter().flatten() {
            let way = [&way[..], &[*import]].concat();
            if *next == start {
                return Some(way);
            }
            if seen.insert(*next) {
                ways.push_back((next, way));
            }
        }
    }
    None
}
