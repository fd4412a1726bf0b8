drawSummary();
drawWaterfall();
startIcicle();
startTable();
startTimeline();
drawMaps();
