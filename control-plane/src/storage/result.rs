/// What a query returns.
pub type Result<T> = std::result::Result<T, sqlx::Error>;
