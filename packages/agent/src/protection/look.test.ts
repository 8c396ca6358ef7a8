import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inReach } from './look.ts';

test('a guest comes back from a copy that can be read; with none in reach its copies are still its copies', () => {
  const copy = (guest: string, storage: string) => ({ guest, storage }) as never;
  const [near, far, lone] = [copy('web', 'backup'), copy('web', 'usb'), copy('db', 'usb')];
  const away = (storage: string) => (storage === 'usb' ? 'pulled' : undefined);
  assert.deepEqual(inReach([near, far, lone], away), [near, lone]);
  assert.deepEqual(
    inReach([near, far, lone], () => undefined),
    [near, far, lone],
  );
});
