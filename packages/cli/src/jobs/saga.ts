import type { ReportedRestore } from '@felhom/protocol';
import { formatDuration } from '@felhom/terminal';
import { timeText } from '../time-text.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { meaning, notShown, operand } from './job-file.ts';
import type { Given, JobCommand, JobFile, Meaning } from './job-file.ts';
import { partsNotes, partsOf } from './restore-parts.ts';

const verbs = {
  resume: 'let a parked saga go on from where it stopped',
  abandon: 'give up a parked saga and leave things as they are',
  undo: 'take a restore back while its undo window is open: the guest as it was before runs again',
  finish: 'end the undo window of a restore now: the guest as it was before is freed',
} as const;

const command = (verb: keyof typeof verbs): JobCommand => ({
  name: verb,
  about: verbs[verb],
  operands: [['<saga>', 'id of the saga or restore, as felhom status shows it']],
  options: [],
  params: (host, given) =>
    verb === 'undo' || verb === 'finish' ? windowParams(verb, host, given) : sagaParams(verb, host, given),
});

export const saga: JobFile<'saga'> = {
  kind: 'saga',
  commands: [command('resume'), command('abandon'), command('undo'), command('finish')],
  meaning: (params, host) => {
    if (params.verb === 'undo' || params.verb === 'finish') return windowMeaning(params.verb, params, host);
    const parked = host.report.parked.find(({ id }) => id === params.saga);
    const known = parked ?? host.report.sagas.find(({ id }) => id === params.saga);
    const whose = known?.guest === undefined ? '' : ` of guest ${known.guest}`;
    return meaning(`${params.verb} ${known?.name ?? 'saga'} ${params.saga}${whose}, which stands at ${params.step}`, {
      loses: params.lossSet,
      notes: [
        ...(parked === undefined ? [] : [`It stopped because: ${parked.why.text}`]),
        ...(known === undefined ? ['The host does not report this saga: it will refuse.'] : []),
        ...(known !== undefined && known.step !== params.step
          ? [`The host reports it at ${known.step} by now: it will refuse.`]
          : []),
        ...(parked !== undefined && parked.lossSet === undefined
          ? ['The host does not say what would be lost; if anything would be, it refuses this job.']
          : []),
      ],
      // Class and people are those of what the saga leads to, which the host knows.
      classes: ['destroy'],
    });
  },
};

function sagaParams(verb: 'resume' | 'abandon', host: VerifiedHost, given: Given): unknown {
  const id = operand(given, 0);
  const parked = host.report.parked.find((one) => one.id === id);
  const known = parked ?? host.report.sagas.find((one) => one.id === id);
  if (known === undefined)
    throw notShown(
      `${host.hostId} reports no saga ${JSON.stringify(id)}`,
      `felhom status ${host.hostId} --json lists them with their ids`,
    );
  return { verb, saga: id, step: known.step, lossSet: parked?.lossSet ?? [] };
}

function windowParams(verb: 'undo' | 'finish', host: VerifiedHost, given: Given): unknown {
  const id = operand(given, 0);
  const restore = host.report.restores.find((one) => one.id === id);
  const next = `felhom status ${host.hostId} lists the restores that can be undone`;
  if (restore === undefined) throw notShown(`${host.hostId} reports no restore ${JSON.stringify(id)}`, next);
  if (restore.state !== 'undoable') throw notShown(`restore ${id} is ${restore.state} already`, next);
  const lossSet = windowLoss(verb, host, restore);
  if (lossSet === undefined)
    throw notShown(
      `the report of ${host.hostId} does not say what would be lost, and a job names it`,
      `wait for its next pass; felhom status ${host.hostId} shows whether the config of ${restore.guest} can be read`,
    );
  return { verb, saga: id, step: '', lossSet };
}

/** Finishing frees the guest as it was; an undo discards the one that was restored, without its bulk. */
function windowLoss(
  verb: 'undo' | 'finish',
  host: VerifiedHost,
  restore: ReportedRestore,
): readonly string[] | undefined {
  if (verb === 'undo') return partsOf(host, restore.uid)?.lossSet;
  return restore.lossSet?.toSorted();
}

function windowMeaning(
  verb: 'undo' | 'finish',
  { saga: id, lossSet }: { readonly saga: string; readonly lossSet: readonly string[] },
  host: VerifiedHost,
): Meaning {
  const restore = host.report.restores.find((one) => one.id === id);
  const whose = restore === undefined ? '' : ` of guest ${restore.guest} (uid ${restore.uid})`;
  const since = restore === undefined ? 'the restore' : `${timeText(restore.at)} UTC`;
  const known = restore === undefined ? undefined : windowLoss(verb, host, restore);
  const notes = [
    ...(restore === undefined ? ['The host does not report this restore: it will refuse.'] : [restore.text]),
    ...(restore !== undefined && restore.state !== 'undoable' ? [`It is ${restore.state}: the host will refuse.`] : []),
    ...(verb === 'finish' && known !== undefined && new Set(known).symmetricDifference(new Set(lossSet)).size > 0
      ? ['By now the host reports another loss: it will refuse.']
      : []),
  ];
  if (verb === 'finish') {
    const left = restore?.until === undefined ? undefined : restore.until - host.statement.at;
    return meaning(`finish restore ${id}${whose}: the guest as it was before is freed now`, {
      loses: lossSet.map((volume) => `${volume}, of the guest as it was before ${since}: for good`),
      notes: [
        'Nothing can undo the restore afterwards.',
        ...(left === undefined || left <= 0 ? [] : [`By itself this happens in ${formatDuration(left)}.`]),
        ...notes,
      ],
      classes: ['destroy'],
    });
  }
  const bulk = restore === undefined ? [] : (partsOf(host, restore.uid)?.bulk ?? []);
  return meaning(`undo restore ${id}${whose}: the guest as it was before ${since} runs again`, {
    loses: lossSet.map((volume) => `${volume}, with all that was written to it since ${since}: for good`),
    notes: [...(restore === undefined ? [] : partsNotes(host, restore.uid, { bulk, lossSet }, false)), ...notes],
    classes: ['destroy'],
  });
}
