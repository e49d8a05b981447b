'use strict';
// Node loads this before a program that `weir run` starts. aws-sdk v2 does not know the variable AWS_ENDPOINT_URL: here its
// value becomes that SDK's default endpoint, which the program may still set otherwise. Nothing else is touched.

const Module = require('module');

const CORE = /[\\/]aws-sdk[\\/]lib[\\/]core\.js$/;
const load = Module._extensions['.js'];

Module._extensions['.js'] = function (module, filename) {
  load.call(this, module, filename);
  const endpoint = process.env.AWS_ENDPOINT_URL;
  const AWS = module.exports;
  if (endpoint && CORE.test(filename) && AWS.Config) {
    AWS.Config.prototype.keys.endpoint = endpoint; // of every configuration that is made from now on
    AWS.config.update({ endpoint });
  }
};
