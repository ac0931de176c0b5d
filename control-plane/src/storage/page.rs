/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items at the most.
    pub limit: u32,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// Where the page lies.
    pub position: Position,
}

/// Where a page lies in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// At the beginning.
    Start,
    /// It begins right after this id.
    After(String),
    /// It ends right before this id.
    Before(String),
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether others come before them.
    pub has_before: bool,
    /// Whether others come after them.
    pub has_after: bool,
}

/// The order in which rows are read: from a bound on, towards older or towards newer ones.
///
/// A page that ends before an id is read backwards from it and turned round. Ids order by time of creation and are never
/// given twice, so a row that is added meanwhile makes no other row appear twice or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Whether it goes towards older rows.
    pub towards_older: bool,
    /// The id beyond which it begins.
    pub beyond: String,
    /// One more than the page holds, to see whether there are others.
    pub limit: i64,
}

/// Greater than every id: no id has a `~`.
const BEYOND_ALL: &str = "~";

impl PageRequest {
    /// How to read the rows of this page.
    #[must_use]
    pub fn walk(&self) -> Walk {
        let backwards = matches!(self.position, Position::Before(_));
        let towards_older = self.newest_first != backwards;
        let beyond = match &self.position {
            Position::After(id) | Position::Before(id) => id.clone(),
            Position::Start if towards_older => BEYOND_ALL.to_owned(),
            Position::Start => String::new(),
        };
        Walk { towards_older, beyond, limit: i64::from(self.limit) + 1 }
    }

    /// Makes a page of the rows that the walk met.
    #[must_use]
    pub fn page<T>(&self, mut items: Vec<T>) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        match self.position {
            Position::Start => Page { items, has_before: false, has_after: more },
            Position::After(_) => Page { has_before: !items.is_empty(), items, has_after: more },
            Position::Before(_) => {
                items.reverse();
                Page { has_after: !items.is_empty(), items, has_before: more }
            }
        }
    }
}
