/** The unit of the tunnel, as systemd tells of it. */
import type { Systemctl } from '../../ports/systemctl.ts';

export const tunnelUnit = 'felhom-cloudflared.service';

export type UnitFacts = ReadonlyMap<string, string>;

/** `undefined`: systemd did not tell. */
export async function showUnit(systemctl: Systemctl, properties: readonly string[]): Promise<UnitFacts | undefined> {
  const { code, stdout } = await systemctl(['show', `--property=${properties.join(',')}`, '--', tunnelUnit]);
  if (code !== 0) return undefined;
  const pairs = stdout.split('\n').map((line): [string, string] => {
    const at = Math.max(0, line.indexOf('='));
    return [line.slice(0, at), line.slice(at + 1).trim()];
  });
  return new Map(pairs);
}
