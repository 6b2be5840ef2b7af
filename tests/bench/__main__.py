"""`make bench`: the bars of the project, measured on this machine and printed as ratios to what was promised."""

from tests.bench import attribution, exporter, first_question, report, simulator, summary, validate


def main() -> None:
    """Run all benchmarks, the quick ones first."""
    for bench in (attribution, validate, summary, report, simulator, first_question, exporter):
        bench.main()
        print()


if __name__ == "__main__":
    main()
