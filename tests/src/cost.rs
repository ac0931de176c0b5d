//! What a process costs: processor time and memory, as the system counts them.
//!
//! Linux tells them in `/proc`, time to the nanosecond if it was built to; elsewhere `ps` does. Processor time is what to
//! compare on a machine that has other things to do: it does not count the time in which the process was kept waiting.

use std::{fs, process, process::Command, time::Duration};

/// The unit of times in `/proc`, a hundredth of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// The processor time that a process took so far, its own and the system's in its name.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn cpu_of(process: u32) -> Duration {
    if cfg!(target_os = "linux") {
        let rough = cpu_in_stat(&read(&format!("/proc/{process}/stat")));
        // What a thread took that has ended is in the rough number alone.
        precise_cpu_of(process).map_or(rough, |precise| precise.max(rough))
    } else {
        cpu_in_ps(&ps("cputime", process))
    }
}

/// The processor time that this thread took so far; where the system does not tell, that of the process.
#[must_use]
pub fn cpu_of_this_thread() -> Duration {
    if cfg!(target_os = "linux") {
        let precise = fs::read_to_string("/proc/thread-self/schedstat").ok();
        let precise = precise.and_then(|line| cpu_in_schedstat(&line));
        precise.unwrap_or_else(|| cpu_in_stat(&read("/proc/thread-self/stat")))
    } else {
        cpu_of(process::id())
    }
}

/// The memory that a process has in use, in bytes.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn memory_of(process: u32) -> u64 {
    let kilobytes = if cfg!(target_os = "linux") { in_status("VmRSS:", process) } else { Some(ps("rss", process)) };
    let kilobytes = kilobytes.unwrap_or_default();
    1024 * kilobytes.trim().parse::<u64>().unwrap_or_else(|_| panic!("no memory in {kilobytes:?}"))
}

/// The most memory that a process ever had in use, in bytes. `None` if it has ended; where the system does not remember,
/// what it has in use now.
#[must_use]
pub fn peak_memory_of(process: u32) -> Option<u64> {
    if cfg!(target_os = "linux") {
        in_status("VmHWM:", process)?.parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
    } else {
        Some(memory_of(process))
    }
}

/// How much of the memory that a process has in use is of its files, its program first of all, in bytes. Where the system
/// does not tell: nothing.
#[must_use]
pub fn file_memory_of(process: u32) -> u64 {
    let kilobytes = if cfg!(target_os = "linux") { in_status("RssFile:", process) } else { None };
    1024 * kilobytes.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default()
}

/// A number that Linux tells of a process.
fn in_status(name: &str, process: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn ps(column: &str, process: u32) -> String {
    let output = Command::new("ps").args(["-o", &format!("{column}="), "-p", &process.to_string()]).output();
    let output = output.expect("there is a ps");
    assert!(output.status.success(), "there is no process {process}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// That of all threads that there are.
fn precise_cpu_of(process: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?.filter_map(Result::ok);
    let lines = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    lines.map(|line| cpu_in_schedstat(&line)).reduce(|sum, its| Some(sum? + its?)).flatten()
}

/// The first word, in nanoseconds.
fn cpu_in_schedstat(line: &str) -> Option<Duration> {
    line.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// The 14th and 15th word of a line whose second one, a name in brackets, may hold anything.
fn cpu_in_stat(line: &str) -> Duration {
    let (_, words) = line.rsplit_once(')').unwrap_or_default();
    let ticks: Vec<u32> = words.split_whitespace().skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(ticks.len(), 2, "no times in {line:?}");
    TICK * ticks.iter().sum::<u32>()
}

/// `[[hours:]minutes:]seconds`, the seconds with hundredths.
fn cpu_in_ps(time: &str) -> Duration {
    let seconds = time.trim().split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap_or_default());
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::eventually;

    #[test]
    fn times_are_read() {
        let line = "7 (a) name) S 1 7 7 0 -1 4 98 0 0 0 150 25 0 0 20 0 1 0 2363338 3133440 360";
        assert_eq!(cpu_in_stat(line), Duration::from_millis(1_750));
        assert_eq!(cpu_in_schedstat("1500000000 17 3\n"), Some(Duration::from_millis(1_500)));
        assert_eq!(cpu_in_schedstat("?"), None);
        assert_eq!(cpu_in_ps("  1:02:03.50\n"), Duration::from_millis(3_723_500));
        assert_eq!(cpu_in_ps("0:00.25"), Duration::from_millis(250));
    }

    #[test]
    fn work_costs_time() {
        let before = cpu_of_this_thread();
        let mut sum = 0_u64;
        eventually(Duration::from_secs(30), "some processor time has passed", || {
            sum = (0..10_000_000_u64).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
            if cpu_of_this_thread() > before { Ok(()) } else { Err(sum) }
        });
        assert!(cpu_of(process::id()) >= TICK);
    }

    #[test]
    fn this_program_takes_some_megabytes() {
        let now = memory_of(process::id());
        assert!((1_000_000..10_000_000_000).contains(&now));
        assert!(peak_memory_of(process::id()).unwrap() >= now / 2);
    }
}
