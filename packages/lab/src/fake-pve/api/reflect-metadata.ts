/**
 * The four functions of the `reflect-metadata` proposal that the certificate library's injector asks for before it
 * loads. Import this first. The polyfill package is not among our dependencies, and this is all of it that is used.
 */
// The one piece of module state: it completes a global object, as the standard would.
const store = new WeakMap<object, Map<unknown, unknown>>();

const own = (target: object, key: unknown): unknown => store.get(target)?.get(key);

const inherited = (target: object, key: unknown): unknown => {
  for (let at: object | null = target; at !== null; at = Reflect.getPrototypeOf(at))
    if (store.get(at)?.has(key) === true) return own(at, key);
  return undefined;
};

const define = (key: unknown, value: unknown, target: object): void => {
  const entries = store.get(target) ?? new Map<unknown, unknown>();
  entries.set(key, value);
  store.set(target, entries);
};

if (!('getMetadata' in Reflect))
  Object.assign(Reflect, {
    getMetadata: (key: unknown, target: object) => inherited(target, key),
    getOwnMetadata: (key: unknown, target: object) => own(target, key),
    defineMetadata: define,
    metadata: (key: unknown, value: unknown) => (target: object) => define(key, value, target),
  });

export const reflectIsComplete = true;
