use crate::storage::Db;

pub(super) async fn run(db: &Db) -> anyhow::Result<()> {
    db.migrate().await?;
    print_line!("The database is up to date.");
    Ok(())
}
