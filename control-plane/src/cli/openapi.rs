pub(super) fn run() -> anyhow::Result<()> {
    print_line!("{}", crate::api::openapi().to_pretty_json()?);
    Ok(())
}
