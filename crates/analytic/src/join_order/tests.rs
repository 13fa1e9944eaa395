//! Orders found for graphs whose best order is known.

use super::search::{Build, Class, Edge, Problem, Reducer, Tree};

/// Relations by their rows, and classes as lists of (relation, different values).
fn problem(relations: &[f64], classes: &[&[(usize, f64)]]) -> Problem {
    Problem {
        relations: relations.to_vec(),
        classes: classes.iter().map(|members| Class { members: members.to_vec() }).collect(),
        ..Problem::default()
    }
}

fn shape(tree: &Tree) -> String {
    match tree {
        Tree::Relation(at) => at.to_string(),
        Tree::Join(left, right) => format!("({} {})", shape(left), shape(right)),
        Tree::Reduce { input, reducer, build: Build::Input } => format!("[{} r{reducer}]", shape(input)),
        Tree::Reduce { input, reducer, build: Build::Reducer } => format!("[r{reducer} {}]", shape(input)),
    }
}

fn solved(problem: &Problem) -> String {
    shape(&problem.solve().expect("the problem has an order"))
}

#[test]
fn shapes() {
    let cases: [(&str, Problem, &str); 6] = [
        ("the smaller side is built", problem(&[1e6, 1e3], &[&[(0, 1e3), (1, 1e3)]]), "(1 0)"),
        (
            "a star: the dimension that drops most comes first",
            problem(&[1e6, 900.0, 10.0], &[&[(0, 1e3), (1, 1e3)], &[(0, 1e3), (2, 1e3)]]),
            "(1 (2 0))",
        ),
        (
            "a chain starts at its small end",
            problem(&[1e6, 1e5, 1e4, 1.0], &[&[(0, 1e5), (1, 1e5)], &[(1, 1e4), (2, 1e4)], &[(2, 25.0), (3, 25.0)]]),
            "(((3 2) 1) 0)",
        ),
        (
            "equality carries on: of 0 = 1 = 2 the smallest two meet first",
            problem(&[1e6, 1e5, 5.0], &[&[(0, 1e5), (1, 1e5), (2, 1e5)]]),
            "((2 1) 0)",
        ),
        ("nothing links 2: it waits", problem(&[1e4, 1e3, 1e2], &[&[(0, 1e3), (1, 1e3)]]), "(2 (1 0))"),
        ("one relation", problem(&[5.0], &[]), "0"),
    ];
    for (name, problem, expected) in cases {
        assert_eq!(solved(&problem), expected, "{name}");
    }
}

#[test]
fn a_reducer_goes_where_it_drops_most() {
    let mut early = problem(&[1e6, 1e5], &[&[(0, 1e5), (1, 1e5)]]);
    early.reducers.push(Reducer { needs: 1, rows: 100.0, share: 1e-4, turns: true });
    assert_eq!(solved(&early), "([r0 0] 1)");
    let mut late = problem(&[1e6, 10.0], &[&[(0, 1e5), (1, 1e5)]]);
    late.reducers.push(Reducer { needs: 1, rows: 6e6, share: 0.9, turns: true });
    assert_eq!(solved(&late), "[(1 0) r0]");
}

#[test]
fn a_reducer_that_may_not_turn_builds_its_input() {
    let mut problem = problem(&[1e6], &[]);
    problem.reducers.push(Reducer { needs: 1, rows: 1.0, share: 0.5, turns: false });
    assert_eq!(solved(&problem), "[0 r0]");
}

#[test]
fn many_relations_are_ordered_greedily_and_completely() {
    let relations: Vec<f64> = (0..30).map(|at| 1000.0 - f64::from(at)).collect();
    let classes: Vec<Class> = (1..30).map(|at| Class { members: vec![(at - 1, 500.0), (at, 500.0)] }).collect();
    let mut problem = Problem { relations, classes, ..Problem::default() };
    problem.edges.push(Edge { relations: 0b101, share: 0.5, sides: None });
    problem.reducers.push(Reducer { needs: 0b11, rows: 10.0, share: 0.5, turns: true });
    let tree = problem.solve().expect("the problem has an order");
    fn count(tree: &Tree) -> usize {
        match tree {
            Tree::Relation(_) => 1,
            Tree::Join(left, right) => count(left) + count(right),
            Tree::Reduce { input, .. } => 100 + count(input),
        }
    }
    assert_eq!(count(&tree), 130);
}
