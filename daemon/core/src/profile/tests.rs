//! The language as a table: what each construct comes to, and what is refused where.

use super::*;

/// Evaluates texts by name, the first one as the profile.
fn of(texts: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Outcome, Refused> {
    let request = Request {
        profiles: vec!["p".to_owned()],
        directories: vec!["/home".to_owned(), "/system".to_owned()],
        environment: environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..Request::default()
    };
    evaluate(&request, &|path| {
        let found = texts.iter().find(|(name, _)| *name == path);
        Ok(found.map(|(_, text)| text.as_bytes().to_vec()))
    })
}

fn one(text: &str, environment: &[(&str, &str)]) -> Result<Outcome, Refused> {
    of(&[("/system/p.opf", text)], environment)
}

/// `NAME=value` separated by blanks.
fn words(outcome: &Outcome) -> String {
    let each = outcome.variables.iter().map(|(name, one)| format!("{name}={}", one.value));
    each.collect::<Vec<_>>().join(" ")
}

/// Why it matters, the text, the environment, what comes of it.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn what_each_construct_comes_to() {
    let cases: &[Case<'_>] = &[
        ("both forms", "onload_set A 1\nonload_set B=2\n", &[], "A=1 B=2"),
        ("comments, blank lines, no last line end", "# x\n\n  onload_set A 1 # y\n#", &[], "A=1"),
        ("a line end of another system", "onload_set A 1\r\n", &[], "A=1"),
        ("the first setting wins", "onload_set A 1; onload_set A 2", &[], "A=1"),
        ("the environment wins", "onload_set A 1", &[("A", "9")], "A=9"),
        ("an empty one does not", "onload_set A 1", &[("A", "")], "A=1"),
        ("what no profile sets is left out", "onload_set A 1", &[("B", "9")], "A=1"),
        ("quotes", r#"onload_set A 'a b' ; onload_set B "c  d"'e'\ f"#, &[], "A=a b B=c  de f"),
        ("a dollar in single quotes", "onload_set A '$B'", &[], "A=$B"),
        ("escapes in double quotes", r#"onload_set A "\$B\"\\\n""#, &[], r#"A=$B"\\n"#),
        ("variables", "x=1\nonload_set A ${x}2$x", &[], "A=121"),
        ("words of an expansion", "x='1 2'\nonload_set A $x", &[], "A=1"),
        ("a second = is cut", "onload_set A=b=c", &[], "A=b"),
        ("no value is the name", "onload_set A \"\"\nonload_set B $C", &[], "A=A B=B"),
        ("an empty = form", "onload_set A=", &[], "A="),
        ("a continued line", "onload_set A \\\n  1", &[], "A=1"),
        ("arithmetic", "x=7\nonload_set A $(( (x + 1) * 2 / $x - -010 % 5 ))", &[], "A=5"),
        ("a default", "onload_set A ${X:-5}${Y-6}${Z-7}", &[("X", ""), ("Y", "")], "A=57 X= Y="),
        ("another for what is set", "onload_set A 1${X:+2}${Y:+3}", &[("X", "x")], "A=12 X=x"),
        ("export", "export A=1\nB=2\nexport B\nC=3", &[], "A=1 B=2"),
        ("an exported one, assigned", "A=1", &[("A", "9")], "A=1"),
        ("unset", "onload_set A 1\nunset A", &[], ""),
        ("and, or", "[ a = b ] && onload_set A 1 || onload_set A 2", &[], "A=2"),
        ("not", "if ! [ \"$A\" ]; then onload_set A 1; fi", &[], "A=1"),
        (
            "elif",
            "if [ $X -eq 1 ]; then onload_set A 1\nelif [ $X -ge 2 ]\nthen onload_set A 2\nelse onload_set A 3; fi",
            &[("X", "2")],
            "A=2 X=2",
        ),
        (
            "case",
            "case $X in a|b) onload_set A 1 ;; \"*\") onload_set A 2;; *) onload_set A 3; esac",
            &[("X", "c")],
            "A=3 X=c",
        ),
        (
            "for",
            "for x in 1 2 $Y; do y=$y$x; done; onload_set A $y",
            &[("Y", "3 4")],
            "A=1234 Y=3 4",
        ),
        (
            "functions, their arguments and locals",
            "f() {\n local x=$1\n echo \"<$x$2>\"\n}\nx=0\ny=$(f a b; echo c)\nonload_set A \"$y$x\"",
            &[],
            "A=<ab>\nc0",
        ),
        ("a shell aside", "(x=1; onload_set A 1)\nonload_set B x$x", &[], "B=x"),
        ("a group", "{ onload_set A 1; }", &[], "A=1"),
        ("what is said", "echo hello\nlog x\nvlog x\necho x >&2\nset -o pipefail", &[], ""),
        (
            "what is not reached",
            "f() { rm -rf /; }\n[ a ] || sysctl x=1\nonload_set A 1",
            &[],
            "A=1",
        ),
        ("a default that is not needed", "onload_set A ${X:-$(nproc)}", &[("X", "4")], "A=4 X=4"),
        (
            "words of the language as values",
            "onload_set A if\nonload_set B done",
            &[],
            "A=if B=done",
        ),
    ];
    for (why, text, environment, expected) in cases {
        let outcome = one(text, environment).unwrap_or_else(|refused| panic!("{why}: {refused}"));
        assert_eq!(words(&outcome), *expected, "{why}");
    }
}

#[test]
fn what_the_environment_had_and_a_profile_takes_away_is_told() {
    // Run in dash and bash as the launcher sources profiles, with the program `env`.
    let cases: [(&str, &str, &[&str]); 9] = [
        ("unset", "unset A", &["A"]),
        ("several, and one that nobody has", "unset A B C", &["A", "B"]),
        ("set anew", "unset A\nonload_set A 1", &[]),
        ("assigned anew, which exports nothing", "unset A\nA=1", &["A"]),
        ("exported anew without a value", "unset A\nexport A", &["A"]),
        ("aside", "(unset A)", &[]),
        ("in a function", "f() { unset A; }\nf", &["A"]),
        ("not reached", "[ a = b ] && unset A", &[]),
        ("of the profile's own", "onload_set C 1\nunset C", &[]),
    ];
    for (why, text, expected) in cases {
        let outcome = one(text, &[("A", "9"), ("B", "9")]).unwrap();
        assert_eq!(outcome.removed.iter().collect::<Vec<_>>(), expected, "{why}");
    }
}

#[test]
fn what_is_refused_is_told_with_its_place() {
    let cases = [
        ("a command", "onload_set A 1\n  sysctl x=1\n", "2:3: the command `sysctl` needs a shell"),
        ("a substitution", "x=$(nproc)", "1:5: the command `nproc` needs a shell"),
        ("backticks", "x=`nproc`", "1:3: what stands between backticks needs a shell"),
        ("a pipe", "echo a | cat", "1:1: a pipe needs a shell"),
        ("a redirection", "echo a > /etc/x", "1:1: a redirection needs a shell"),
        ("a loop", "while true; do x=1; done", "1:1: a loop needs a shell"),
        (
            "names of files",
            "for x in /sys/*; do :; done",
            "1:10: a pattern over the names of files",
        ),
        ("such names in a value", "x='*'\nonload_set A $x", "2:14: a pattern over the names"),
        ("a home directory", "x=~/y", "1:3: a home directory needs a shell"),
        ("a look at the machine", "[ -f /etc/x ] && y=1", "1:1: a look at the machine needs"),
        (
            "a variable of the shell",
            "onload_set A $$",
            "1:14: a variable of the shell itself needs",
        ),
        ("another expansion", "onload_set A ${X%y}", "1:14: this way of expanding a variable"),
        ("one command's variable", "A=1 onload_set B 2", "1:1: a variable for one command alone"),
        ("a launcher's command redefined", "onload_set() { x=1; }", "1:1: another meaning for"),
        ("eval", "eval A=1", "1:1: the command `eval` needs a shell"),
        ("sourcing", ". /etc/x", "1:1: the command `.` needs a shell"),
        ("the background", "x=1 &", "1:5: a command in the background"),
        ("a text inside", "echo <<X\nX", "1:6: a text inside the commands"),
        ("an open quote", "onload_set A 1\nonload_set B \"2\n3", "2:14: a quote is never closed"),
        ("an open if", "\nif [ a ]; then x=1\n", "2:1: what begins here has no `fi`"),
        ("a stray frame", "x=1\nfi", "2:1: `fi` is not expected"),
        ("a stray parenthesis", "x=1\n )", "2:2: ')' is not expected"),
        ("an open test", "[ a", "1:1: what begins with `[` has no `]`"),
        ("no name", "onload_set 'A;reboot' 1", "1:1: \"A;reboot\" is no name of a variable"),
        ("no name at all", "onload_set", "1:1: \"\" is no name of a variable"),
        (
            "a division by nothing",
            "onload_set A $(( 1 / $X ))",
            "1:14: the calculation has no result",
        ),
        (
            "a division by zero",
            "onload_set A $(( 1 / X ))",
            "1:14: the calculation has no result: 1 / X: a",
        ),
        ("a number too large", "x=$((9223372036854775807 + 1))", "too large"),
        (
            "no number",
            "[ many -eq 1 ]",
            "1:1: the calculation has no result: \"many\" is no number",
        ),
        (
            "the profile gives up",
            "x=\n[ \"$x\" ] || fail \"ERROR: no x\"",
            "2:13: the profile itself gives up: no x",
        ),
        ("an end", "exit 3", "1:1: the profile itself gives up: it ends the launch here"),
        ("itself", "onload_import p", "1:1: it imports p, which is being imported already"),
        (
            "nothing",
            "onload_import q",
            "1:1: there is no profile q: looked for /home/q.opf, /home/q.opf-fragment, /system/q.opf, /system/q.opf-fragment",
        ),
        ("a zero byte", "x=1\0", "1:4: the file holds a zero byte"),
    ];
    for (why, text, expected) in cases {
        let refused = one(text, &[]).expect_err(why);
        let told = refused.to_string();
        assert!(told.starts_with("/system/p.opf:") && told.contains(expected), "{why}: {told}");
        assert!(!refused.fix().is_empty() && !told.contains('\n'), "{why}: {told}");
    }
    let bytes = |_: &str| Ok(Some(b"x=1\nab\xff".to_vec()));
    let request = Request { profiles: vec!["/p".to_owned()], ..Request::default() };
    let told = evaluate(&request, &bytes).unwrap_err().to_string();
    assert_eq!(told, "/p:2:3: the file is not UTF-8");
    let blind = |_: &str| Err("permission denied".to_owned());
    let told = evaluate(&request, &blind).unwrap_err().to_string();
    assert_eq!(told, "/p: it cannot be read: /p: permission denied");
}

#[test]
fn a_refusal_names_the_variable_that_would_avoid_it() {
    let cases = [
        ("onload_set N ${WORKERS:-$(nproc)}", "WORKERS"),
        ("if [ -z \"$MODE\" ]; then\n x=$(nproc)\n onload_set A $x\nfi", "MODE"),
        ("if [ -z \"$MODE\" ]; then fail no mode; fi", "MODE"),
        ("[ \"$MODE\" ] || x=$(nproc)", "MODE"),
        ("x=$(nproc)", ""),
        ("if [ -z \"$own\" ]; then own=$(nproc); fi; ", "own"),
        ("own=\nif [ -z \"$own\" ]; then own=$(nproc); fi", ""),
    ];
    for (text, name) in cases {
        let refused = one(text, &[]).unwrap_err();
        assert_eq!(refused.unless.join(","), name, "{text}: {refused}");
        assert_eq!(refused.fix().starts_with(&format!("give {name} ")), !name.is_empty(), "{text}");
    }
}

#[test]
fn names_are_looked_for_as_the_launcher_does() {
    let nested = candidates("x", &["/h".to_owned(), "/s".to_owned()], true);
    assert_eq!(nested, ["/h/x.opf", "/h/x.opf-fragment", "/s/x.opf", "/s/x.opf-fragment"]);
    let top = candidates("/etc/x.opf", &["/s".to_owned()], false);
    assert_eq!(top, ["/etc/x.opf"]);
    assert_eq!(candidates("x", &["/s".to_owned()], false), ["/s/x.opf"]);
    assert_eq!(candidates("../x", &["/s".to_owned()], false), ["../x"], "not below the directory");
    assert!(candidates("x\0", &["/s".to_owned()], false).is_empty());

    let texts = [
        ("/system/p.opf", "onload_import q a\nonload_set A $1\nonload_import r"),
        ("/home/q.opf-fragment", "onload_set Q $1"),
        ("/system/q.opf", "onload_set Q system"),
        ("/system/r.opf", "onload_import q b"),
    ];
    let outcome = of(&texts, &[]).unwrap();
    assert_eq!(words(&outcome), "A=A Q=a", "arguments are the import's own");
    assert_eq!(outcome.reads, ["/system/p.opf", "/home/q.opf-fragment", "/system/r.opf"]);
    let origin = outcome.variables["Q"].origin.clone().unwrap();
    assert_eq!((origin.file.as_str(), origin.line), ("/home/q.opf-fragment", 1));
    let alone = of(&[("/system/p.opf-fragment", "")], &[]).unwrap_err();
    assert!(matches!(alone.reason, Reason::NotFound { .. }), "no fragment by itself: {alone}");
    let names = imports("p", b"onload_import a\nif [ x ]; then onload_import 'b' \"$@\"; onload_import a\nfi; onload_import $c");
    assert_eq!(names.unwrap(), ["a", "b"]);
}

#[test]
fn a_condition_nobody_knows_is_passed_over_where_nothing_hangs_on_it() {
    let waits =
        "if pgrep nginx | grep -q x; then\n n=1\n while true; do sleep 1; exit 3; done\nfi\n";
    let outcome = one(&format!("onload_set A 1\n{waits}onload_set B 2"), &[]).unwrap();
    assert_eq!(words(&outcome), "A=1 B=2");
    assert_eq!(outcome.notes.len(), 1);
    assert_eq!(outcome.notes[0].origin.line, 2);
    let told = one(&format!("{waits}onload_set B $n"), &[]).unwrap_err().to_string();
    assert!(told.contains(":5:14: the value of n needs a shell"), "{told}");
    let told = one(&format!("export n=0\n{waits}"), &[]).unwrap_err().to_string();
    assert!(told.contains("the value of n needs a shell"), "{told}");
    for setting in ["onload_set A 1", "export A=1", "onload_import q", "eval A=1", "f", "$x A 1"] {
        let text = format!("f() {{ A=1; }}\nif pgrep x; then\n if [ a ]; then {setting}; fi\nfi");
        let told = one(&text, &[]).unwrap_err().to_string();
        assert!(told.contains(":2:4: the command `pgrep` needs a shell"), "{setting}: {told}");
    }
}

#[test]
fn nothing_goes_on_for_ever() {
    let deep = format!("x={}1{}", "$(( ".repeat(200), " ))".repeat(200));
    let parentheses = format!("x=$(( {}1{} ))", "(".repeat(9_000), ")".repeat(9_000));
    let nested = format!("{}x=1; {}", "{ ".repeat(9_000), "} ;".repeat(9_000));
    let growing = format!("x=1\n{}", "x=$x$x\n".repeat(60));
    let steps = format!("{}:{}", "for a in 1 2 3 4 5 6 7 8 9 0; do ".repeat(5), "; done".repeat(5));
    let cases = [
        ("deep", deep.as_str()),
        ("parentheses", &parentheses),
        ("nested", &nested),
        ("growing", &growing),
        ("steps", &steps),
        ("a function that calls itself", "f() { f; }\nf"),
        ("long", &" ".repeat(70_000)),
    ];
    for (why, text) in cases {
        let refused = one(text, &[]).expect_err(why);
        let told = matches!(refused.reason, Reason::TooLarge(_) | Reason::Arithmetic(_));
        assert!(told, "{why}: {refused:.200}");
    }
    let chain = |path: &str| {
        let number: u32 = path.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
        Ok(Some(format!("onload_import /p{}", number + 1).into_bytes()))
    };
    let request = Request { profiles: vec!["/p0".to_owned()], ..Request::default() };
    let refused = evaluate(&request, &chain).unwrap_err();
    assert!(matches!(refused.reason, Reason::TooLarge(_)), "{refused}");
}

#[test]
fn oddities_of_the_launcher_are_told() {
    let outcome = one("onload_set A=b=c\nonload_set B \"\"", &[]).unwrap();
    let notes: Vec<_> = outcome.notes.iter().map(|note| note.origin.line).collect();
    assert_eq!(notes, [1, 2]);
}
