"""The answers of notebook 09, the paper and us, each from the numbers above it."""

from IPython.display import Markdown


def highest(composite):
    """Which published figures are highest, and on whom their epoch was chosen."""
    groups = composite.groupby("selection").uf1
    top = composite.iloc[-2:]
    alike = (top.selection == "best_on_test").all()
    choice = "choose the epoch on the held-out subject" if alike else "differ in how they choose it"
    last = ", ".join(composite[composite.selection == "last"].method)
    return Markdown(
        f"**Answer.** The two highest figures are those of {top.method.iloc[-1]} and "
        f"{top.method.iloc[-2]}; both programs {choice}. Known to take the last epoch: {last} "
        f"(UF1 {groups.max()['last']:.4f}, and its UAR is mean precision, see notebook 08). That "
        "is no proof that the others would fall: it says that these columns do not measure the "
        "same thing."
    )


def readers(readers, real):
    """Whether a published figure lies above what readers of units reach."""
    row = readers.loc["casme3-like"]
    most = row[["units as written", "true units", "as many people as the set"]].max()
    paper = row["MER-CLIP as published"]
    rows = zip(real.index, real.to_numpy(), strict=True)
    return Markdown(
        f"**Answer.** For the seven classes of CAS(ME)3, UF1 {paper:.4f} is published. Readers of "
        f"units, on people drawn to be like that set, reach {row['units as written']:.2f} from the "
        f"written units of 16 people, {row['true units']:.2f} from the true ones, and "
        f"{row['as many people as the set']:.2f} with as many people as the set has; for "
        f"{row['no list decides']:.0%} of the clips no list decides. The published figure lies "
        + ("**above** all of them" if paper > most else "within them")
        + f" ({paper - most:+.2f} from the highest). Above is possible: a network sees strength, "
        "timing and much else that no list says, the person among it. But then sentences about "
        "action units cannot be the whole reason for the figure, and the epoch was chosen on the "
        "held-out subject. The drawn population is like the real set in what notebook 02 counts "
        "and in nothing else; but on the real lists a reader reaches "
        + ", ".join(f"{read:.2f} of {name}, published {told:.4f}" for name, (read, told) in rows)
        + ". A question to these figures, no refutation. Notebook 06 draws both readers as lines."
    )


def settings_and_epoch(table, reference_seeds, plain):
    """Whether settings or the choice of the epoch move the number more."""
    lines = "\n".join(f"* {sentence}" for sentence in table.sentence)
    settings, _, epoch = table.change
    larger = "the choice of the epoch" if abs(epoch) > abs(settings) else "the settings of training"
    return Markdown(
        f"**Answer.** As measured, {larger} ({epoch:+.3f} for the epoch, {settings:+.3f} for the "
        "settings). Whether a part differs from zero, corrected for the three questions:\n\n"
        f"{lines}\n\nSeeds of the reference: {', '.join(map(str, reference_seeds))}."
        + (
            " Stochastic depth is 0 in both, so one of its settings has nothing to act on here."
            if plain.drop_path == plain.global_drop_path == 0
            else ""
        )
    )


def ledger(full, drawn):
    """For how many tasks the ledger has a figure of the paper and one of ours."""
    missing, empty = full[full.note != ""], full[(full.note == "") & full.uf1.isna()]
    there = full[full.uf1.notna() & (full.part == "all")]
    both = set(there[there.method == "MER-CLIP"].task) & set(there[there.method == "ours"].task)
    untold, unread = (", ".join(dict.fromkeys(rows.task)) or "no task" for rows in (missing, empty))
    return Markdown(
        f"**Answer.** {len(both) or 'None'}. The ledger has {full.uf1.notna().sum()} figures and "
        f"{len(missing)} cells in words: for {untold} nothing of ours can be said; and of {unread} "
        "no published figure of the paper's method was read."
        + (
            " SynthME's figures must not be read against the paper's. What carries over is the gap "
            "between the two protocols, and even that only as a warning, not as a size."
            if drawn
            else ""
        )
    )
