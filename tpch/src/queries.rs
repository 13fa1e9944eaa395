//! The statements: schema and queries, as the files beside this crate have them.

/// The eight `CREATE TABLE` statements.
pub const SCHEMA: &str = include_str!("../schema.sql");

/// One of the 22 queries.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// 1 to 22.
    pub number: usize,
    /// The file's text: a comment with the parameters, then the statement.
    pub text: &'static str,
}

impl Query {
    /// The output columns of the query's ORDER BY, most significant first; none if it has no ORDER BY.
    pub fn order_by(&self) -> Vec<&'static str> {
        let Some((_, list)) = self.text.rsplit_once("\norder by\n") else { return Vec::new() };
        let list = list.split("\nlimit ").next().unwrap_or(list);
        list.trim_end().trim_end_matches(';').split(',').filter_map(|item| item.split_whitespace().next()).collect()
    }

    /// The number after LIMIT, if the query has one.
    pub fn limit(&self) -> Option<usize> {
        self.text.rsplit_once("\nlimit ")?.1.trim_end().trim_end_matches(';').parse().ok()
    }
}

macro_rules! queries {
    ($($number:literal $file:literal)*) => {
        [$(Query { number: $number, text: include_str!(concat!("../queries/", $file)) }),*]
    };
}

/// The 22 queries in order.
pub const QUERIES: [Query; 22] = queries! {
    1 "q01.sql" 2 "q02.sql" 3 "q03.sql" 4 "q04.sql" 5 "q05.sql" 6 "q06.sql" 7 "q07.sql" 8 "q08.sql"
    9 "q09.sql" 10 "q10.sql" 11 "q11.sql" 12 "q12.sql" 13 "q13.sql" 14 "q14.sql" 15 "q15.sql" 16 "q16.sql"
    17 "q17.sql" 18 "q18.sql" 19 "q19.sql" 20 "q20.sql" 21 "q21.sql" 22 "q22.sql"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_limit_are_read_from_the_text() {
        let by_number = |number: usize| QUERIES[number - 1];
        assert_eq!(by_number(1).order_by(), ["l_returnflag", "l_linestatus"]);
        assert_eq!(by_number(2).order_by(), ["s_acctbal", "n_name", "s_name", "p_partkey"]);
        assert_eq!(by_number(6).order_by(), [""; 0]);
        assert_eq!(by_number(22).order_by(), ["cntrycode"]);
        let limits: Vec<_> = QUERIES.iter().filter_map(|query| Some((query.number, query.limit()?))).collect();
        assert_eq!(limits, [(2, 100), (3, 10), (10, 20), (18, 100), (21, 100)]);
    }

    #[test]
    fn files_stand_in_their_order() {
        for (index, query) in QUERIES.iter().enumerate() {
            assert_eq!(query.number, index + 1);
            assert!(query.text.starts_with(&format!("-- Q{},", query.number)), "{}", query.text);
        }
    }
}
