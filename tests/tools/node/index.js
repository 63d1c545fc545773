const { createBackend } = require('@backstage/backend-defaults');

const backend = createBackend();
for (const plugin of ['auth', 'catalog', 'scaffolder', 'search', 'user-settings']) {
  backend.add(require(`@backstage/plugin-${plugin}-backend`));
}
backend.start();
