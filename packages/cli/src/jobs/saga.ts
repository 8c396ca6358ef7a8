import type { VerifiedHost } from '../verified-host.ts';
import { meaning, notShown, operand } from './job-file.ts';
import type { Given, JobCommand, JobFile } from './job-file.ts';

const verbs = {
  resume: 'let a parked saga go on from where it stopped',
  abandon: 'give up a parked saga and leave things as they are',
  undo: 'take back what a saga did, while its undo window is open (refused by hosts of this release)',
  finish: 'end the undo window of a saga: what it kept for an undo is freed (refused by hosts of this release)',
} as const;

const command = (verb: keyof typeof verbs): JobCommand => ({
  name: verb,
  about: verbs[verb],
  operands: [['<saga>', 'id of the saga, as felhom status shows it']],
  options: [],
  params: (host, given) => sagaParams(verb, host, given),
});

export const saga: JobFile<'saga'> = {
  kind: 'saga',
  commands: [command('resume'), command('abandon'), command('undo'), command('finish')],
  meaning: (params, host) => {
    const parked = host.report.parked.find(({ id }) => id === params.saga);
    const known = parked ?? host.report.sagas.find(({ id }) => id === params.saga);
    const whose = known?.guest === undefined ? '' : ` of guest ${known.guest}`;
    return meaning(`${params.verb} ${known?.name ?? 'saga'} ${params.saga}${whose}, which stands at ${params.step}`, {
      loses: params.lossSet,
      notes: [
        ...(parked === undefined ? [] : [`It stopped because: ${parked.why.text}`]),
        // No saga of this release leaves an undo window open.
        ...(params.verb === 'undo' || params.verb === 'finish' ? ['Hosts of this release refuse this.'] : []),
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

function sagaParams(verb: keyof typeof verbs, host: VerifiedHost, given: Given): unknown {
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
