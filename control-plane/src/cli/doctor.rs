use crate::{config::Config, storage::Db};

pub(super) async fn run(_config: &Config, _db: &Db) -> anyhow::Result<()> {
    Ok(())
}
