/** `smart`: what a disk says of itself. Reads only; a disk that sleeps is left asleep. */
import type { HostCommand } from '../../ports/host-command.ts';
import { said } from './answer.ts';

export type SmartAnswer =
  { readonly is: 'done'; readonly smart: string } | { readonly is: 'refused' | 'busy'; readonly text: string };

/** As much as the answer takes. */
const longestText = 262_144;

/**
 * `device`: a kernel name such as `sda`, checked where it was read. smartctl(8): of its exit code bit 0 is a bad command
 * line; bit 1, that the device could not be opened or sleeps, has its reason in the document; the others are findings.
 */
export async function smart(smartctl: HostCommand, device: string): Promise<SmartAnswer> {
  const say = said(`cannot ask ${device} how it is`);
  try {
    const { code, stdout, stderr } = await smartctl(['--json', '--all', '--nocheck=standby', `/dev/${device}`]);
    if ((code & 1) !== 0 || stdout.trim() === '')
      return say.not({ is: 'busy', why: `smartctl ended with ${code}: ${stderr.slice(0, 300)}` });
    const document: unknown = JSON.parse(stdout);
    const text = JSON.stringify(document);
    if (typeof document !== 'object' || document === null || text.length > longestText)
      return say.not({ is: 'busy', why: 'smartctl printed something else' });
    return { is: 'done', smart: text };
  } catch (error) {
    return say.not({ is: 'busy', why: error instanceof SyntaxError ? 'smartctl printed no JSON' : String(error) });
  }
}
