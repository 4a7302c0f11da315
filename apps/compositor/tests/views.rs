//! What is seen where, against a search pixel by pixel; damage; configurations.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use proptest::prelude::*;
use session::Label;
use session::framebuffer::Area;
use session::label::Selector;
use zelkova_compositor::{Config, ConfigError, Damage, Rect, Runs, View};

fn view(name: &str, x: u32, y: u32, width: u32, height: u32) -> View {
    View { selector: Selector::Exact(Label::new(name).unwrap()), x, y, width, height }
}

fn config(views: &[View]) -> Config {
    Config { ram: 0, background: [0; 3], views: views.iter().cloned().collect() }
}

fn rect() -> impl Strategy<Value = Rect> {
    (0_u32..40, 0_u32..6, 0_u32..40, 0_u32..6).prop_map(|(left, top, width, height)| Rect {
        left,
        top,
        right: left + width,
        bottom: top + height,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn each_pixel_comes_from_the_topmost_view_and_once(
        views in prop::collection::vec(prop::option::of(rect()), 0..8),
        line in 0_u32..12,
        left in 0_u32..40,
        length in 0_u32..40,
    ) {
        let mut next = left;
        for run in Runs::new(&views, line, left, left + length) {
            prop_assert!(run.left == next && run.right > run.left);
            for x in run.left..run.right {
                let covers = |rect: &Option<Rect>| {
                    rect.is_some_and(|rect| {
                        (rect.left..rect.right).contains(&x) && (rect.top..rect.bottom).contains(&line)
                    })
                };
                prop_assert_eq!(run.view, views.iter().rposition(covers));
            }
            next = run.right;
        }
        prop_assert_eq!(next, left + length);
    }

    #[test]
    fn what_covers_both_covers_each(one in rect(), other in rect()) {
        let union = one.union(other);
        for part in [one, other] {
            if !part.is_empty() {
                prop_assert_eq!(union.intersection(part), part);
            }
        }
    }
}

#[test]
fn every_buffer_gets_every_change() {
    let mut damage = Damage::default();
    let [one, other] = [(0, 10), (20, 30)].map(|(left, right)| Rect { left, top: 1, right, bottom: 2 });
    damage.add(one);
    assert_eq!(damage.take(0), one);
    damage.add(other);
    assert_eq!(damage.take(0), other);
    assert_eq!(damage.take(1), one.union(other));
    assert!(damage.take(0).is_empty() && damage.take(1).is_empty());
}

#[test]
fn a_part_of_a_view_never_leaves_it() {
    let rect = view("a", 100, 50, 20, 10).rect();
    let area = |x, y, width, height| Area { x, y, width, height };
    assert_eq!(rect.part(area(0, 0, 20, 10)), rect);
    assert_eq!(rect.part(area(5, 5, 5, 5)), Rect { left: 105, top: 55, right: 110, bottom: 60 });
    for outside in [area(20, 0, 1, 1), area(0, 10, 1, 1), area(0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)] {
        assert!(rect.part(outside).is_empty());
    }
    assert_eq!(rect.part(area(10, 0, u32::MAX, u32::MAX)).right, rect.right);
    assert_eq!(rect.part(area(10, 0, 10, 10)).area(), area(110, 50, 10, 10));
}

#[test]
fn views_are_for_those_whom_they_are_for() {
    let views = config(&[view("init -> left", 0, 0, 320, 480), view("init -> right", 320, 0, 320, 480)]);
    assert_eq!(views.check(), Ok(()));
    assert_eq!(views.fits(640, 480), Ok(()));
    let find = |label: &str| views.view(&Label::new(label).unwrap());
    assert_eq!([find("init -> left"), find("init -> right"), find("init -> other")], [Some(0), Some(1), None]);
    assert_eq!(views.fits(639, 480), Err(ConfigError::Outside { view: 1, width: 639, height: 480 }));
    assert_eq!(views.fits(640, 479), Err(ConfigError::Outside { view: 0, width: 640, height: 479 }));
}

#[test]
fn views_that_cannot_be_are_refused() {
    let twice = config(&[view("a", 0, 0, 1, 1), view("a", 1, 0, 1, 1)]);
    assert!(matches!(twice.check(), Err(ConfigError::Duplicate(_))));
    for wrong in [view("a", 0, 0, 0, 1), view("a", 0, 0, 1, 0x1_0000), view("a", u32::MAX, 0, 1, 1)] {
        assert_eq!(config(&[wrong]).check(), Err(ConfigError::Size(0)));
    }
}
