"""ComBat across centres: an independent implementation's values, invariances, and what it must not look at."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy.stats import f_oneway
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hccbook.errors import DataError, ModelError
from hccbook.features.harmonisation import ComBatHarmoniser, centre_effect, centre_effect_table
from hccbook.report import figures

FEATURES = list("abcd")


def small() -> pd.DataFrame:
    """Twelve patients of three centres, four features that anybody can make again."""
    i = np.arange(12)
    values = np.column_stack(
        [
            i * 7 % 11,
            i * 5 % 13 + 3.0 * (i >= 4),
            0.5 * (i * i % 17) + 2.0 * (i >= 8),
            1.5 * (i * 3 % 7) - (i < 4),
        ]
    )
    ages = [41, 52, 63, 48, 57, 66, 39, 44, 71, 58, 49, 62]
    return pd.DataFrame(values, columns=FEATURES).assign(centre=list("AAAAABBBBCCC"), age=np.array(ages, dtype=float))


# Made with neuroCombat 0.2.12 (Fortin's own port), its bound of convergence lowered from 1e-4 to 1e-13.
NEUROCOMBAT = {
    "plain": [
        [1.03944, 2.556643, 1.710627, 0.375962],
        [6.939204, 6.776825, 2.133042, 4.153378],
        [3.56791, 10.997008, 3.400289, 7.930794],
        [9.467674, 4.244716, 5.512365, 2.894239],
        [6.09638, 10.997008, 8.469273, 7.511081],
        [2.321781, 13.755405, 3.917147, 2.107621],
        [8.648579, 6.605954, 1.217821, 6.192299],
        [5.033266, 11.074361, 7.066362, 0.746061],
        [1.417953, 3.92491, 7.966138, 4.83074],
        [6.870366, 7.256873, 6.635351, 7.06018],
        [3.329138, 11.715095, 7.523003, 1.721213],
        [-0.21209, 4.581941, 1.753269, 5.725438],
    ],
    "age": [
        [1.31538, 2.034664, 1.345262, -0.231933],
        [7.039836, 6.595293, 1.881025, 3.95147],
        [3.404196, 11.155922, 3.305374, 8.134873],
        [9.676941, 3.87758, 5.402109, 2.552251],
        [6.083478, 11.112852, 8.587001, 7.601946],
        [2.084168, 13.765477, 3.972211, 2.561158],
        [9.201521, 6.529067, 1.032952, 5.85013],
        [5.080038, 10.9494, 7.155076, 0.841324],
        [1.073368, 4.178745, 8.217687, 5.216411],
        [6.565809, 7.370419, 6.69272, 7.253476],
        [3.407324, 11.547352, 7.423139, 1.909386],
        [-0.247789, 4.85007, 2.12779, 6.033649],
    ],
}
SETTINGS = {
    "plain": {},
    "age": {"covariates": ("age",)},
}
# The same program without empirical Bayes, first feature.
UNSHRUNK = [
    0.12705,
    6.125893,
    2.697983,
    8.696825,
    5.268915,
    2.526328,
    8.9259,
    5.269002,
    1.612104,
    7.869035,
    4.583333,
    1.297632,
]


@pytest.mark.parametrize("case", NEUROCOMBAT)
def test_values_are_those_of_the_authors_program(case):
    """Training patients come out as from neuroCombat, with and without a covariate."""
    combat = ComBatHarmoniser(**{"keep": ("age",), **SETTINGS[case]})
    found = combat.fit_transform(small())
    assert list(found.columns) == ["age", *FEATURES]
    np.testing.assert_allclose(found[FEATURES], NEUROCOMBAT[case], atol=6e-7, rtol=0)


def test_location_and_scale_by_hand():
    """Two centres, (0, 2) and (10, 16), one feature, so no shrinkage: both become the mean 7 with the pooled spread.

    Residuals -1, 1, -3, 3: variance 20 / 4 = 5. Within centres z has the variance 2/5 and 18/5 (ddof 1), so that
    every patient ends at 7 -+ sqrt(5) x (1 / sqrt(2)) = 7 -+ 1.5811388.
    """
    table = pd.DataFrame({"x": [0.0, 2.0, 10.0, 16.0], "centre": list("aabb")})
    found = ComBatHarmoniser().fit_transform(table)["x"]
    away = np.sqrt(5 / 2)
    np.testing.assert_allclose(found, [7 - away, 7 + away, 7 - away, 7 + away], rtol=1e-12)


# --- invariances ------------------------------------------------------------------------------------------------------


def planted(n: int, seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three centres of n patients with the same tissue, moved and stretched by each centre; and the tissue."""
    rng = np.random.default_rng(seed)
    tissue = rng.standard_normal((n, 40))
    shift, scale = rng.normal(0, 1, (3, 40)), np.exp(rng.normal(0, 0.3, (3, 40)))
    values = np.concatenate([shift[c] + scale[c] * tissue for c in range(3)])
    features = pd.DataFrame(values, columns=[f"f{j}" for j in range(40)])
    return features.assign(centre=np.repeat(["X", "Y", "Z"], n)), pd.DataFrame(tissue)


def difference_between_centres(harmonised: pd.DataFrame, n: int) -> float:
    """Typical distance (root mean square) between what the centres make of the same patient, in SD."""
    values = harmonised.to_numpy() / harmonised.to_numpy().std(axis=0)
    return float(np.sqrt(values.reshape(-1, n, values.shape[1]).var(axis=0).mean()))


def test_pure_centre_effect_goes_exactly_without_shrinkage():
    """The same patients, moved and stretched by three scanners, are the same again; a single feature is not shrunk."""
    table, _ = planted(12)
    found = ComBatHarmoniser().fit_transform(table[["f0", "centre"]])
    assert difference_between_centres(found, 12) < 1e-10
    assert centre_effect(found, table["centre"])["share"].max() < 1e-20


def test_pure_centre_effect_goes_in_the_limit_with_shrinkage():
    """The shift's error is d (g_bar - g) / (t2 n + d), 1/n in the limit: ten times the patients, a tenth is left."""
    left = []
    for n in (100, 1000, 10_000):
        table, _ = planted(n)
        left.append(difference_between_centres(ComBatHarmoniser().fit_transform(table), n))
    assert 8 < left[0] / left[1] < 10.5 and 9 < left[1] / left[2] < 10.5
    assert left[2] < 1e-3


def test_one_centre_stays_as_it_is():
    """With one centre nothing changes, to the last bit, and the notes say why."""
    table = small().assign(centre="A")
    combat = ComBatHarmoniser(keep=("age",)).fit(table)
    pd.testing.assert_frame_equal(combat.transform(table)[FEATURES], table[FEATURES])
    assert combat.notes_ == ["One centre, A: there is nothing to harmonise."]


def test_unit_of_a_feature_does_not_matter():
    """A feature in other units comes out in those units."""
    table, _ = planted(8)
    other = table.assign(f0=1000 * table["f0"] - 7)
    found, changed = ComBatHarmoniser().fit_transform(table), ComBatHarmoniser().fit_transform(other)
    np.testing.assert_allclose(changed["f0"], 1000 * found["f0"] - 7, rtol=1e-9)
    np.testing.assert_allclose(changed.drop(columns="f0"), found.drop(columns="f0"), rtol=1e-9)


def test_order_of_patients_does_not_matter():
    """Shuffled patients come out as before, each with their own values."""
    table, _ = planted(8)
    shuffled = table.sample(frac=1, random_state=1)
    found = ComBatHarmoniser().fit(shuffled).transform(shuffled).loc[table.index]
    np.testing.assert_allclose(found, ComBatHarmoniser().fit_transform(table), rtol=1e-9)


def test_covariate_stays():
    """Old patients in one centre, young in the other: with age as covariate its slope survives, without it does not."""
    rng = np.random.default_rng(5)
    n = 400
    centre = np.repeat(["A", "B"], n)
    age = np.r_[rng.normal(40, 8, n), rng.normal(60, 8, n)]
    values = {f"f{j}": 0.1 * age + rng.standard_normal(2 * n) + 3.0 * (centre == "B") for j in range(20)}
    table = pd.DataFrame(values).assign(centre=centre, age=age)
    with_age = ComBatHarmoniser(covariates=("age",)).fit_transform(table)
    without = ComBatHarmoniser(keep=("age",)).fit_transform(table).drop(columns="age")
    slope = np.array([np.polyfit(age, with_age[name], 1)[0] for name in with_age])
    lost = np.array([np.polyfit(age, without[name], 1)[0] for name in without])
    np.testing.assert_allclose(slope, 0.1, atol=0.02)
    assert lost.max() < 0.06


# --- the outcome and the other patients ----------------------------------------------------------------------------


def test_outcome_is_not_looked_at():
    """Poison: any outcome, nonsense included, gives the same values."""
    table, _ = planted(8)
    plain = ComBatHarmoniser().fit(table).transform(table)
    for y in (np.arange(24) % 2, np.full(24, np.nan), ["poison"] * 24):
        pd.testing.assert_frame_equal(ComBatHarmoniser().fit(table, y).transform(table), plain)


def test_other_patients_do_not_matter():
    """Fitted on training patients, each new one follows from their own row, and the fit is not touched."""
    table, _ = planted(10)
    train, new = table.iloc[::2], table.iloc[1::2]
    combat = ComBatHarmoniser().fit(train)
    alone = pd.concat([combat.transform(new.iloc[[row]]) for row in range(len(new))])
    poisoned = new.copy()
    poisoned.iloc[3:, :-1] = 1e6
    pd.testing.assert_frame_equal(alone, combat.transform(new))
    pd.testing.assert_frame_equal(combat.transform(poisoned).iloc[:3], alone.iloc[:3])
    pd.testing.assert_frame_equal(combat.transform(train), ComBatHarmoniser().fit(train).transform(train))


# --- centres that are new or small ---------------------------------------------------------------------------------


def test_unseen_centre_stays_as_it_is():
    """Patients of a centre that the fit did not see are unchanged to the last bit."""
    table = small()
    combat = ComBatHarmoniser(keep=("age",)).fit(table[table["centre"] != "C"])
    new = table[table["centre"] == "C"]
    pd.testing.assert_frame_equal(combat.transform(new)[FEATURES], new[FEATURES])
    assert list(combat.effects_) == ["A", "B"]


def test_unseen_centre_can_be_learnt_from_its_features():
    """A third scanner, learnt afterwards, is brought onto the other two, whose own patients do not change."""
    table, _ = planted(500)
    known, new = table[table["centre"] != "Z"], table[table["centre"] == "Z"]
    combat = ComBatHarmoniser().fit(known)
    more = combat.with_centres(table)
    pd.testing.assert_frame_equal(more.transform(known), combat.transform(known))
    assert list(combat.effects_) == ["X", "Y"]
    assert list(more.effects_) == ["X", "Y", "Z"]
    x = known[known["centre"] == "X"]
    before = difference_between_centres(pd.concat([combat.transform(x), combat.transform(new)]), 500)
    after = difference_between_centres(pd.concat([more.transform(x), more.transform(new)]), 500)
    assert after < 0.02 < 0.3 < before
    assert "learnt after the fit from the features of 500 patients" in more.notes_[-1]


def test_centre_with_one_patient():
    """Its shift is shrunk with n = 1 and its scale left: (t2 g + g_bar) / (t2 + 1), from its own z-scores."""
    table = pd.concat([small(), small().iloc[[0]].assign(centre="D", a=30.0)], ignore_index=True)
    combat = ComBatHarmoniser(keep=("age",)).fit(table)
    effect = combat.effects_["D"]
    z = (table.loc[12, FEATURES].to_numpy(dtype=float) - combat.mean_) / combat.sd_
    t2 = z.var(ddof=1)
    np.testing.assert_allclose(effect.shift, (t2 * z + z.mean()) / (t2 + 1), rtol=1e-12)
    assert (effect.scale == 1).all()
    assert any(note.startswith("D: one patient") for note in combat.notes_)
    assert np.isfinite(combat.transform(table).to_numpy()).all()


def test_centre_in_which_a_feature_does_not_vary():
    """Equal values in one centre give no scale there, and a note, not a division by zero."""
    table = small()
    table.loc[table["centre"] == "B", "a"] = 4.0
    combat = ComBatHarmoniser(keep=("age",)).fit(table)
    assert combat.notes_ == ["B: 1 features do not vary there; their scale is left."]
    assert ComBatHarmoniser().fit(table[["a", "centre"]]).effects_["B"].scale.tolist() == [1.0]
    assert np.isfinite(combat.transform(table).to_numpy()).all()


def test_feature_that_varies_in_no_centre_stays():
    """A constant, and a feature that names the centre, are left as they are and listed."""
    table = small().assign(e=7.0, f=small()["centre"].map({"A": 1.0, "B": 2.0, "C": 5.0}))
    combat = ComBatHarmoniser(keep=("age",)).fit(table)
    assert combat.untouched_ == ["e", "f"]
    found = combat.transform(table)
    pd.testing.assert_frame_equal(found[["e", "f"]], table[["e", "f"]])
    np.testing.assert_allclose(found[FEATURES], NEUROCOMBAT["plain"], atol=6e-7)


def test_single_feature_is_not_shrunk():
    """One feature has no others to borrow from: its own mean and variance, and a note."""
    table = small()[["a", "centre"]]
    combat = ComBatHarmoniser().fit(table)
    np.testing.assert_allclose(combat.transform(table)["a"], UNSHRUNK, atol=6e-7)
    assert "nothing is shrunk" in combat.notes_[0]


# --- what it refuses, and scikit-learn ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "settings", "error", "message"),
    [
        (lambda t: t.assign(b=np.nan), {}, DataError, "column b: must hold finite numbers"),
        (lambda t: t.assign(b="x"), {}, DataError, "column b: must be numeric"),
        (lambda t: t.assign(centre=["", *t["centre"][1:]]), {}, DataError, "centre: must name every patient's centre"),
        (lambda t: t.drop(columns="centre"), {}, ModelError, "must have a column 'centre'"),
        (lambda t: t.assign(age=np.nan), {"covariates": ("age",)}, DataError, "column age"),
        (lambda t: t.assign(age="old"), {"covariates": ("age",)}, DataError, "column age: must be numeric"),
        (
            lambda t: t.assign(age=t["centre"].map({"A": 1.0, "B": 2.0, "C": 3.0})),
            {"covariates": ("age",)},
            ModelError,
            "must vary within centres",
        ),
        (lambda t: t[["centre", "age"]], {"keep": ("age",)}, ModelError, "features: must be in the table"),
        (lambda t: t, {"keep": ("centre",)}, ModelError, "must be neither covariate nor kept"),
    ],
)
def test_what_fit_refuses(change, settings, error, message):
    """Missing values, text, centres without a name and covariates that name the centre stop the fit."""
    with pytest.raises(error, match=message):
        ComBatHarmoniser(**settings).fit(change(small()))


def test_it_is_a_transformer():
    """Cloned, in a pipeline, twice the same, and its names are those of its columns."""
    table = small()
    combat = ComBatHarmoniser(covariates=("age",))
    assert clone(combat).get_params() == combat.get_params()
    first = make_pipeline(combat, StandardScaler()).fit_transform(table)
    np.testing.assert_array_equal(first, make_pipeline(clone(combat), StandardScaler()).fit_transform(table))
    with pytest.raises(ModelError, match="column a: must be in the table"):
        combat.transform(table.drop(columns="a"))


# --- share of variance between centres -------------------------------------------------------------------------------


def test_share_between_centres_by_hand():
    """1, 3 and 5, 7: between 4 x 2^2 = 16 of 20, so 0.8; chance (2 - 1) / (4 - 1)."""
    found = centre_effect(pd.DataFrame({"x": [1.0, 3.0, 5.0, 7.0], "c": 2.0}), np.array(list("aabb")))
    assert found["share"].iloc[0] == pytest.approx(0.8)
    assert np.isnan(found["share"].iloc[1])
    assert found["chance"].tolist() == [pytest.approx(1 / 3)] * 2


def test_share_is_that_of_anova():
    """SciPy's F of the same patients gives the same share: F (k - 1) / (F (k - 1) + n - k)."""
    table = small()
    found = centre_effect(table[FEATURES], table["centre"]).set_index("feature")["share"]
    for name in FEATURES:
        f = f_oneway(*[part.to_numpy() for _, part in table.groupby("centre")[name]]).statistic
        assert found[name] == pytest.approx(2 * f / (2 * f + 9), rel=1e-12)


def test_combat_takes_the_share_down():
    """Most features of a planted centre effect have less between centres after than before, in unseen patients too."""
    rng = np.random.default_rng(2)
    centre = pd.Series(np.repeat(list("ABCD"), 60))
    shift = dict(zip("ABCD", rng.normal(0, 1, (4, 50)), strict=True))
    values = np.stack([shift[name] for name in centre]) + rng.standard_normal((240, 50))
    table = pd.DataFrame(values, columns=[f"f{j}" for j in range(50)])
    learn = np.arange(240) % 2 == 0
    combat = ComBatHarmoniser().fit(table[learn].assign(centre=centre[learn]))
    after = combat.transform(table.assign(centre=centre))
    shares = centre_effect_table({"before": table[~learn], "after": after[~learn]}, centre[~learn])
    before, left = (shares[shares["stage"] == stage]["share"].median() for stage in ("before", "after"))
    # About chance, (4 - 1) / (120 - 1) = 0.025, and the error of the shift once more.
    assert before > 0.3 and left < 0.06


def test_table_and_figure_of_shares():
    """Stages keep their order, at_most rises to 1, and the figure draws them with the line of chance."""
    table = small()
    after = ComBatHarmoniser(keep=("age",)).fit_transform(table)[FEATURES]
    shares = centre_effect_table({"before": table[FEATURES], "ComBat": after}, table["centre"])
    assert shares["stage"].drop_duplicates().tolist() == ["before", "ComBat"]
    assert shares.groupby("stage")["at_most"].apply(list).loc["before"] == [0.25, 0.5, 0.75, 1.0]
    figure, axes = figures.panels(1, 1)
    ax = figures.plot_centre_effect(axes[0, 0], shares)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "ComBat"]
    drawn = ax.lines[0].get_xdata()
    np.testing.assert_array_equal(drawn[1:], shares.loc[shares["stage"] == "before", "share"])
    with pytest.raises(DataError, match="must be of the same patients in every stage"):
        figures.plot_centre_effect(ax, shares.assign(chance=np.arange(len(shares))))
    with pytest.raises(DataError, match="must hold at least one table"):
        centre_effect_table({}, table["centre"])
    plt.close(figure)
