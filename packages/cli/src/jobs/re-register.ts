import { guestWords, jobGuest, listOption, meaning, operand, requiredOption, wholeNumber } from './job-file.ts';
import type { JobFile } from './job-file.ts';

export const reRegister: JobFile<'re-register'> = {
  kind: 're-register',
  commands: [
    {
      name: 're-register',
      about: 'give a guest whose config is gone its volumes back, under a VMID',
      operands: [['<guest>', 'name of the guest']],
      options: [
        ['--vmid <vmid>', 'VMID under which its volumes lie'],
        ['--volume <volume...>', 'volume ids, as the finding of the host names them'],
      ],
      params: (host, given) => ({
        guest: jobGuest(host, operand(given, 0)),
        vmid: wholeNumber(requiredOption(given, 'vmid'), '--vmid'),
        volumes: [...new Set(listOption(given, 'volume'))].sort(),
      }),
    },
  ],
  meaning: ({ guest, vmid, volumes }, host) =>
    meaning(`register ${guestWords(host, guest)} again at VMID ${vmid}`, {
      widens: [
        'From then on the host takes these volumes for its own:',
        ...volumes.map((volume) => `volume ${volume}`),
      ],
      classes: ['destroy'],
    }),
};
