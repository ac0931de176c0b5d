pub(super) fn run() -> anyhow::Result<()> {
    print_line!("{}", crate::http::openapi().to_pretty_json()?);
    Ok(())
}
