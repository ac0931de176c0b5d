use shared::id::ApiKeyId;

use super::*;
use crate::storage::{
    Db, Page, PageRequest, Position,
    api_keys::{self, ApiKey, Which},
    testing::{Tenant, conformance},
};

async fn page(db: &Db, tenant: &Tenant, newest_first: bool, position: Position) -> Page<ApiKeyId> {
    let request = PageRequest { limit: 2, newest_first, position };
    let page =
        ask!(db, api_keys::list_of_organization, &tenant.environment, &tenant.organization, Which::Unrevoked, &request);
    let Page { items, has_before, has_after } = page;
    Page { items: items.into_iter().map(|key: ApiKey| key.id).collect(), has_before, has_after }
}

fn after(page: &Page<ApiKeyId>) -> Position {
    Position::After(page.items.last().unwrap().to_string())
}

fn before(page: &Page<ApiKeyId>) -> Position {
    Position::Before(page.items[0].to_string())
}

async fn five_keys(db: &Db, tenant: &Tenant) -> Vec<ApiKeyId> {
    let mut ids = vec![];
    for number in 0..5 {
        ids.push(tenant.api_key(db, &number.to_string(), &[], START.plus_millis(10 * number)).await);
    }
    ids
}

conformance! {
    async fn pages_follow_one_another_in_both_orders_and_both_directions(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let mut ids = five_keys(&db, &tenant).await;
        for newest_first in [false, true] {
            let first = page(&db, &tenant, newest_first, Position::Start).await;
            let second = page(&db, &tenant, newest_first, after(&first)).await;
            let third = page(&db, &tenant, newest_first, after(&second)).await;
            let met: Vec<_> = [&first, &second, &third].into_iter().flat_map(|page| page.items.clone()).collect();
            assert_eq!(met, ids);
            let ends = [&first, &second, &third].map(|page| (page.has_before, page.has_after));
            assert_eq!(ends, [(false, true), (true, true), (true, false)]);
            let back = page(&db, &tenant, newest_first, before(&third)).await;
            assert_eq!((back.items, back.has_before, back.has_after), (second.items.clone(), true, true));
            let back = page(&db, &tenant, newest_first, before(&second)).await;
            assert_eq!((back.items, back.has_before, back.has_after), (first.items, false, true));
            ids.reverse();
        }
    }

    async fn rows_that_are_added_meanwhile_repeat_and_skip_no_other(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let ids = five_keys(&db, &tenant).await;
        for newest_first in [false, true] {
            let (mut met, mut position, mut round) = (vec![], Position::Start, 0);
            loop {
                let page = page(&db, &tenant, newest_first, position).await;
                met.extend(page.items.iter().filter(|id| ids.contains(id)).cloned());
                if !page.has_after {
                    break;
                }
                position = after(&page);
                round += 1;
                assert!(round < 20, "the list has an end");
                // Before, between and behind those that are there.
                let added = if round < 4 { &[-5, 15, 25, 95][..] } else { &[] };
                for millis in added {
                    let name = format!("{newest_first} {round} {millis}");
                    tenant.api_key(&db, &name, &[], START.plus_millis(*millis)).await;
                }
            }
            let mut expected = ids.clone();
            if newest_first {
                expected.reverse();
            }
            assert_eq!(met, expected);
        }
    }

    async fn a_list_without_rows_is_one_empty_page(db: Db) {
        let tenant = Tenant::new(&db, START).await;
        let ids = five_keys(&db, &tenant).await;
        let empty = Page { items: vec![], has_before: false, has_after: false };
        let other = Tenant::new(&db, START).await;
        assert_eq!(page(&db, &other, true, Position::Start).await, empty);
        assert_eq!(page(&db, &tenant, false, Position::After(ids[4].to_string())).await, empty);
        assert_eq!(page(&db, &tenant, false, Position::Before(ids[0].to_string())).await, empty);
    }
}
