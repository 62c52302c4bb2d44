"""Which papers a run is said to have used, and that they are all in the bibliography."""

import json
import re

import pytest

from configs.backbones import classifier, self_supervised
from configs.gan import dcgan, enhanced_gan, pggan, private, r3gan, sngan, stargan, wgan
from configs.segment import unet
from foundation.training.errors import UserError
from gan import citations
from gan.evaluation.scoring import MEANINGS
from gan.families.methods import METHODS
from gan.losses import LOSSES
from gan.objective import PENALTIES
from tests.gan import command


def _write_run(folder, config, evaluation=None):
    folder.mkdir()
    (folder / 'config.json').write_text(config.to_json_best_effort())
    if evaluation is not None:
        (folder / 'evaluation').mkdir()
        (folder / 'evaluation' / 'report.json').write_text(json.dumps(evaluation))
    return folder


def _evaluation(is_fid=False, is_radiomic=False, **values):
    scores = {name: {'value': value} for name, value in values.items()}
    return {'runs': [{'scores': scores}], 'extractor': {'is_fid': is_fid, 'is_radiomic': is_radiomic}}


def _all_papers():
    by_value = [papers for values in citations.FIELDS.values() for papers in values.values()]
    tables = (
        citations.ARCHITECTURES,
        citations.SWITCHES,
        citations.CONDITIONS,
        citations.SCORES,
        citations.BACKBONES,
    )
    listed = [papers for table in tables for papers in table.values()]
    listed += [
        *by_value,
        citations.FID,
        citations.RADIOMICS,
        citations.UNET,
        citations.CONTRASTIVE,
        citations.ENHANCED,
    ]
    return {key for papers in listed for key in papers} | {method.paper for method in METHODS}


def test_every_paper_has_an_entry_and_every_entry_a_use():
    assert set(citations.read_bibliography()) == _all_papers()


def test_entries_are_whole():
    for key, entry in citations.read_bibliography().items():
        fields = dict(re.findall(r'^  (\w+) = \{(.+)\},?$', entry, re.MULTILINE))
        assert {'title', 'author', 'year'} <= fields.keys(), key
        assert {'eprint', 'booktitle', 'journal'} & fields.keys(), key
        assert re.fullmatch(r'\d{4}\.\d{4,5}', fields.get('eprint', '1234.5678')), key
        assert ('eprint' in fields) == ('archiveprefix' in fields), key
        assert re.search(r'\d{4}', key)[0] == fields['year'], key
        assert entry.count('{') == entry.count('}'), key
        assert entry.isascii(), key


def test_tables_know_every_choice():
    assert citations.FIELDS['loss.name'].keys() == LOSSES.keys()
    assert citations.FIELDS['loss.penalty'].keys() == set(PENALTIES) - {'none'}
    assert set(MEANINGS) - citations.SCORES.keys() == {'intensity_distance', 'spectrum_distance'}  # our own


@pytest.mark.parametrize(
    ('module', 'fields', 'papers'),
    [
        (pggan, {}, 'karras2018 arjovsky2017 gulrajani2017 kingma2015'),
        (enhanced_gan, {}, 'karras2018 waqas2022 miyato2018 lim2017 kingma2015 zhang2019'),
        (dcgan, {}, 'radford2016 goodfellow2014 kingma2015'),
        (wgan, {}, 'radford2016 arjovsky2017'),
        (
            private,
            {},
            'karras2018 waqas2022 goodfellow2014 kingma2015 miyato2018 miyato2018projection abadi2016 xie2018',
        ),
        (
            r3gan,
            {'augment.probability': 0.1},
            'huang2024 jolicoeur2019 mescheder2018 kingma2015 zhao2020 karras2020ada',
        ),
        (
            sngan,
            {'conditional': True, 'discriminator.condition': 'auxiliary', 'augment.adaptive': True},
            'gulrajani2017 miyato2018 lim2017 kingma2015 karras2020ada odena2017',
        ),
    ],
)
def test_papers_of_a_gan_follow_from_its_fields(tmp_path, module, fields, papers):
    config = module.get_config()
    if 'augment.adaptive' in fields:
        config.augment.operations = ('flip',)
    config.update_from_flattened_dict(fields)
    found = citations.find_papers(_write_run(tmp_path / 'run', config))
    assert set(found) == {*papers.split(), *(('zhao2020',) if config.augment.operations else ())}
    assert len(found) == len(set(found))


def test_a_run_from_before_there_was_a_field_used_what_it_means(tmp_path):
    config = dcgan.get_config()
    del config.optimizer.name
    assert 'kingma2015' in citations.find_papers(_write_run(tmp_path / 'run', config))


def test_scores_count_where_they_were_measured(tmp_path):
    evaluation = _evaluation(is_fid=True, frechet_distance=1.0, am_score=None, spectrum_distance=2.0)
    found = citations.find_papers(_write_run(tmp_path / 'run', dcgan.get_config(), evaluation))
    assert found[-2:] == ['heusel2017', 'szegedy2016']
    assert 'zhou2018' not in found


def test_radiomic_features_have_papers_of_their_own(tmp_path):
    evaluation = _evaluation(is_radiomic=True, frechet_distance=1.0)
    found = citations.find_papers(_write_run(tmp_path / 'run', dcgan.get_config(), evaluation))
    assert found[-3:] == ['heusel2017', 'konz2026', 'zwanenburg2020']


@pytest.mark.parametrize('report', [{'scores': {}, 'metrics': {}}, {'directions': {}, 'named': {}}])
def test_pairs_of_translated_images_are_measured_by_ms_ssim(tmp_path, report):
    found = citations.find_papers(_write_run(tmp_path / 'run', stargan.get_config(), report))
    assert (found[0], found[-1]) == ('choi2018', 'wang2003')


def test_what_a_sweep_measured_counts_too(tmp_path):
    run = _write_run(tmp_path / 'run', dcgan.get_config())
    settings = [{'scores': {'recall': {'value': 0.5}, 'kernel_distance': {'value': None}}}]
    report = {'extractor': {'is_fid': False}, 'settings': settings, 'path_lengths': {'path_length_latents': {}}}
    (run / 'sweep').mkdir()
    (run / 'sweep' / 'sweep.json').write_text(json.dumps(report))
    assert citations.find_papers(run)[-2:] == ['kynkaanniemi2019', 'karras2019']


def test_other_tasks_have_papers_of_their_networks(tmp_path):
    assert citations.find_papers(_write_run(tmp_path / 'u', unet.get_config())) == [
        'ronneberger2015',
        'isensee2021',
    ]
    contrastive = _write_run(tmp_path / 's', self_supervised.get_config())
    assert citations.find_papers(contrastive) == ['he2016', 'chen2020']
    assert citations.find_papers(_write_run(tmp_path / 'c', classifier.get_config('densenet121'))) == ['huang2017']


def test_what_cannot_be_cited_is_refused(tmp_path):
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'config.json').write_text('{"architecture": ["x"], "network": 3}')
    with pytest.raises(UserError, match='in no table'):
        citations.find_papers(tmp_path / 'other')
    with pytest.raises(UserError, match=r'holds no config\.json'):
        citations.find_papers(tmp_path / 'nothing')
    run = _write_run(tmp_path / 'run', dcgan.get_config(), {'runs': 3})
    with pytest.raises(UserError, match=r'report\.json is no report of a generator; measure the run anew'):
        citations.find_papers(run)


def test_the_command_prints_each_entry_once(tmp_path):
    runs = [_write_run(tmp_path / name, config.get_config()) for name, config in (('a', dcgan), ('b', pggan))]
    done = command.Commands(tmp_path / 'shared').run('gan.cite', *map(str, runs))
    assert done.returncode == 0, done.stdout
    keys = re.findall(r'^@\w+\{(\w+),', done.stdout, re.MULTILINE)
    assert keys == [
        'radford2016', 'goodfellow2014', 'kingma2015', 'karras2018', 'arjovsky2017', 'gulrajani2017',
    ]  # fmt: skip
