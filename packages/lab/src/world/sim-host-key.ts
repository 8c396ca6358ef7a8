/** The host's key in a simulation: of the seed, so that it outlives every reboot of the host. */
import { parsePublicKey } from '@felhom/protocol';
import type { HostKey } from '@felhom/agent';
import type { SimRandom } from '../simulation/sim-random.ts';
import { createOperator } from './operators.ts';

export function simHostKey(random: SimRandom): HostKey {
  const host = createOperator('host', random);
  return {
    publicLine: host.keyLine,
    fingerprint: parsePublicKey(host.keyLine)?.fingerprint ?? '',
    sign: (namespace, message) => host.sign(namespace, message),
  };
}
