import type { VerifiedHost } from '../verified-host.ts';
import { guestWords, jobGuest, meaning } from './job-file.ts';
import type { Given, JobFile } from './job-file.ts';

const scopeOf = (host: VerifiedHost, given: Given): unknown => {
  const name = given.operands[0];
  return name === undefined ? 'host' : jobGuest(host, name);
};

export const hold: JobFile<'hold'> = {
  kind: 'hold',
  commands: [
    {
      name: 'hold',
      about: 'change nothing on the host, or on one guest, until the hold is lifted; backups go on',
      operands: [['[guest]', 'name of the guest; none: the whole host']],
      options: [],
      params: (host, given) => ({ scope: scopeOf(host, given), set: true }),
    },
    {
      name: 'unhold',
      about: 'lift a hold',
      operands: [['[guest]', 'name of the guest; none: the whole host']],
      options: [],
      params: (host, given) => ({ scope: scopeOf(host, given), set: false }),
    },
  ],
  meaning: ({ scope, set }, host) => {
    const what = scope === 'host' ? `everything on ${host.hostId}` : guestWords(host, scope);
    return set
      ? meaning(`hold ${what}: nothing is changed there until the hold is lifted`, {
          notes: ['Backups go on. Repairs and restarts do not.'],
          classes: ['divert'],
        })
      : meaning(`lift the hold on ${what}`, {
          widens: ['What desired state asks for is done again, within the gates.'],
          classes: ['divert'],
        });
  },
};
